"""The figures of a widget as series and as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from analytics.measures import (
    NOTHING,
    Described,
    Unit,
    Value,
    change_of,
    change_written,
    describe,
    dimension_label,
    written,
)
from analytics.spans import Period
from analytics.widgets import MAX_SPLIT, Kind, WidgetSpec

MAX_SERIES: Final = 8  # of one chart
WIDEST: Final = 7  # columns of a table that compares
BEFORE: Final = "before"
OTHERS: Final = "all others"
FOLLOWING: Final = "the next largest"
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Key:
    """A value of a dimension: as it is kept, and as people know it."""

    dimension: str
    value: str
    name: str


@dataclass(frozen=True, slots=True)
class Line:
    """One row of an answer. `at` is when its step begins, `hour` the hour of the week from 0."""

    keys: tuple[Key, ...]
    values: Mapping[str, Value]
    before: Mapping[str, Value] | None = None
    at: datetime | None = None
    hour: int | None = None

    @property
    def name(self) -> str:
        return ", ".join(key.name for key in self.keys)

    @property
    def is_nothing(self) -> bool:
        """Whether nothing was counted, neither now nor in the period before."""
        return not any(
            _tells(name, value)
            for values in (self.values, self.before or {})
            for name, value in values.items()
        )


def _tells(name: str, value: Value) -> bool:
    """A count of 0 tells nothing; a rate of 0 does, since of nothing there is none."""
    return bool(value) or (value is not None and not describe(name).adds_up)


@dataclass(frozen=True, slots=True)
class Series:
    """One line or one colour of a chart: a value, or None, for each step."""

    name: str
    points: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A value of a table, with its unit; a text has none."""

    value: Value | str | datetime
    unit: Unit | None = None
    is_change: bool = False
    key: Key | None = None

    @property
    def text(self) -> str:
        if isinstance(self.value, str):
            return self.value
        if self.value is None:
            return NOTHING
        if isinstance(self.value, datetime):
            return f"{self.value:%Y-%m-%d %H:%M}"
        unit = self.unit or "count"
        return change_written(self.value, unit) if self.is_change else written(self.value, unit)


@dataclass(frozen=True, slots=True)
class Grid:
    """Headers and rows, the same for a page, a mail and a file."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[bool, ...]  # by column

    def narrowed(self) -> Grid:
        """As a page has room for: where it compares much, what was before is seen from the
        change."""
        if len(self.headers) <= WIDEST or BEFORE not in self.headers:
            return self
        kept = [index for index, text in enumerate(self.headers) if text != BEFORE]
        return Grid(
            tuple(self.headers[index] for index in kept),
            tuple(tuple(row[index] for index in kept) for row in self.rows),
            tuple(self.numeric[index] for index in kept),
        )


@dataclass(frozen=True)
class Figures:
    """What a widget shows of one period. `problem` says why there is nothing, `note` what cannot be
    seen from the figures, in words."""

    spec: WidgetSpec
    period: Period
    step: str
    lines: tuple[Line, ...] = ()
    steps: tuple[datetime, ...] = ()
    problem: str = ""
    measures: tuple[Described, ...] = field(default=())
    table: Grid | None = None  # of a list: what is shown instead of the lines
    note: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw: no row, or nothing but nothing in them."""
        if self.table is not None:
            return not self.table.rows
        return all(line.is_nothing for line in self.lines)

    @property
    def unit(self) -> Unit:
        return self.measures[0].unit if self.measures else "count"

    def series(self) -> list[Series]:
        """Over the steps: one for each measure, or for each value of the dimension, of which the
        smallest come together where they add up, and are `left_out` where they do not. A step
        without rows is 0 of what adds up, else None."""
        if self.spec.dimensions:
            return self._by_key(self.measures[0])
        by_step = {line.at: line.values for line in self.lines}
        return [
            Series(
                measure.label,
                tuple(
                    by_step.get(step, {}).get(measure.name, 0 if measure.adds_up else None)
                    for step in self.steps
                ),
            )
            for measure in self.measures
        ]

    @property
    def left_out(self) -> str:
        """In words how many values of the dimension have no series, since what does not add up
        cannot be drawn together; empty for none."""
        if not self.spec.dimensions or self.measures[0].adds_up:
            return ""
        found = len({line.name for line in self.lines})
        count = found - len(self.series())
        if not count:
            return ""
        return (
            f"{count} more not shown" if found < MAX_SPLIT else f"at least {count} more not shown"
        )

    def _by_key(self, measure: Described) -> list[Series]:
        found: dict[str, dict[datetime | None, Value]] = {}
        for line in self.lines:
            found.setdefault(line.name, {})[line.at] = line.values.get(measure.name)
        ranked = sorted(found, key=lambda name: -sum(v or 0 for v in found[name].values()))
        most = min(self.spec.limit or MAX_SERIES, MAX_SERIES)
        if measure.adds_up and len(ranked) > most:
            most = max(1, most - 1)  # the rest are one series more
        shown = ranked[:most]
        nothing = 0 if measure.adds_up else None
        made = [
            Series(name, tuple(found[name].get(step, nothing) for step in self.steps))
            for name in shown
        ]
        rest = ranked[len(shown) :]
        if rest and measure.adds_up:
            sums = tuple(sum(found[name].get(step) or 0 for name in rest) for step in self.steps)
            # Of very many only the largest were asked for.
            name = OTHERS if len(found) < MAX_SPLIT else FOLLOWING
            made.append(Series(f"{name} ({len(rest)})", sums))
        return made

    def moment(self, at: datetime) -> str:
        """When a step begins, as exact as the step is, in the period's time zone."""
        local = self.period.local(at)
        match self.step:
            case "month":
                return f"{local:%Y-%m}"
            case "week" | "day":
                return f"{local:%Y-%m-%d}"
        return f"{local:%Y-%m-%d %H:%M}"

    def hours(self) -> list[list[Value]]:
        """Of a heat map: seven days from Monday of 24 hours."""
        measure = self.measures[0]
        week: list[list[Value]] = [
            [0 if measure.adds_up else None for _ in range(24)] for _ in range(7)
        ]
        for line in self.lines:
            if line.hour is not None:
                week[line.hour // 24][line.hour % 24] = line.values.get(measure.name)
        return week

    def grid(self) -> Grid:
        """The figures as a table: the alternative to each chart, and what files hold."""
        if self.table is not None:
            return self.table
        if self.step == "hour_of_week":
            return self._grid_of_hours()
        if self.spec.kind == Kind.NUMBER:
            return self._grid_of_numbers()
        times = ("From",) if self.step else ()
        names = tuple(dimension_label(name) for name in self.spec.dimensions)
        titles: list[str] = []
        for measure in self.measures:
            titles.append(measure.label)
            if self.spec.compare:
                titles += [BEFORE, "change"]
        rows = []
        for line in self._in_order():
            cells: list[Cell] = [Cell(self.moment(line.at))] if line.at and self.step else []
            cells += [Cell(key.name, key=key) for key in line.keys]
            for measure in self.measures:
                value = line.values.get(measure.name)
                cells.append(Cell(value, measure.unit))
                if self.spec.compare:
                    before = (line.before or {}).get(measure.name)
                    change = change_of(value, before, measure.unit)
                    cells += [
                        Cell(before, measure.unit), Cell(change, measure.unit, is_change=True),
                    ]  # fmt: skip
            rows.append(tuple(cells))
        texts = len(times) + len(names)
        return Grid(
            (*times, *names, *titles),
            tuple(rows),
            tuple(index >= texts for index in range(texts + len(titles))),
        )

    def _in_order(self) -> Iterable[Line]:
        """By time and name, and of a chart over time a line for each step."""
        if not self.step:
            return self.lines
        if self.spec.dimensions:
            return sorted(self.lines, key=lambda line: (line.at or _FIRST, line.name))
        by_step = {line.at: line for line in self.lines}
        nothing = {measure.name: 0 if measure.adds_up else None for measure in self.measures}
        return [by_step.get(step) or Line((), nothing, at=step) for step in self.steps]

    def _grid_of_hours(self) -> Grid:
        unit = self.unit
        rows = tuple(
            (Cell(day), *(Cell(value, unit) for value in hours))
            for day, hours in zip(DAYS, self.hours(), strict=True)
        )
        headers = ("Day", *(f"{hour:02}" for hour in range(24)))
        return Grid(headers, rows, (False, *([True] * 24)))

    def _grid_of_numbers(self) -> Grid:
        rows = []
        for measure, value, before, change in self.numbers():
            cells = [Cell(measure.label), Cell(value, measure.unit)]
            if self.spec.compare:
                cells += [
                    Cell(before, measure.unit), Cell(change, measure.unit, is_change=True),
                ]  # fmt: skip
            rows.append(tuple(cells))
        headers = ("Figure", "Value", *((BEFORE, "change") if self.spec.compare else ()))
        return Grid(headers, tuple(rows), (False, *([True] * (len(headers) - 1))))

    def numbers(self) -> list[tuple[Described, Value, Value, float | None]]:
        """Of each measure its value, that of the period before, and the change."""
        line = self.lines[0] if self.lines else Line((), {})
        found = []
        for measure in self.measures:
            value = line.values.get(measure.name, 0 if measure.adds_up else None)
            before = (line.before or {}).get(measure.name)
            found.append((measure, value, before, change_of(value, before, measure.unit)))
        return found


_FIRST: Final = datetime.min.replace(tzinfo=UTC)
