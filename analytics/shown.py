"""The figures of a widget: the answer to its query with names for people, as series and table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Min, QuerySet

from analytics.measures import (
    NAMED_BY_ROW,
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
from analytics.query import Unanswerable, answer
from analytics.spans import Period, steps_of
from analytics.widgets import DEFAULT_ROWS, Kind, WidgetSpec, query_of, step_of
from incoming.models import Receipt, Source
from outgoing.models import Delivery
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib.visible import visible

MAX_SERIES: Final = 8  # of one chart; the smallest are drawn together
WIDEST: Final = 7  # columns of a table that compares
BEFORE: Final = "before"
OTHERS: Final = "all others"
DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MODELS: Final = {"account": Account, "source": Source, "subscription": Subscription}
_EMPTY_KEYS: Final = {
    "cause": "succeeded", "event_type": "no type", "status_class": "no answer",
    "source": "none", "subscription": "none", "account": "none",
}  # fmt: skip


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
    """What a widget shows of one period. `problem` says why there is nothing, in words."""

    spec: WidgetSpec
    period: Period
    step: str
    lines: tuple[Line, ...] = ()
    steps: tuple[datetime, ...] = ()
    problem: str = ""
    measures: tuple[Described, ...] = field(default=())

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw: no row, or nothing but nothing in them."""
        return not any(value for line in self.lines for value in line.values.values())

    @property
    def unit(self) -> Unit:
        return self.measures[0].unit if self.measures else "count"

    def series(self) -> list[Series]:
        """Over the steps: one for each measure, or for each value of the dimension, of which the
        smallest come together. A step without rows is 0 of what adds up, else None."""
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

    def _by_key(self, measure: Described) -> list[Series]:
        found: dict[str, dict[datetime | None, Value]] = {}
        for line in self.lines:
            found.setdefault(line.name, {})[line.at] = line.values.get(measure.name)
        ranked = sorted(found, key=lambda name: -sum(v or 0 for v in found[name].values()))
        most = min(self.spec.limit or MAX_SERIES, MAX_SERIES)
        shown = ranked if len(ranked) <= most else ranked[: most - 1]
        nothing = 0 if measure.adds_up else None
        made = [
            Series(name, tuple(found[name].get(step, nothing) for step in self.steps))
            for name in shown
        ]
        rest = ranked[len(shown) :]
        if rest and measure.adds_up:
            sums = tuple(sum(found[name].get(step) or 0 for name in rest) for step in self.steps)
            made.append(Series(f"{OTHERS} ({len(rest)})", sums))
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


def figures_of(
    specs: Sequence[WidgetSpec], *, account_ids: Sequence[UUID] | None, period: Period
) -> list[Figures]:
    """The figures of many widgets. One that cannot be answered says so, and the others stand.

    `account_ids` are whose figures they are of; None for those of every account.
    """
    found = [_figures(spec, account_ids, period) for spec in specs]
    return _named(found, account_ids)


def _figures(spec: WidgetSpec, account_ids: Sequence[UUID] | None, period: Period) -> Figures:
    if spec.kind == Kind.DEAD_LETTERS:
        return dead_letters(spec, account_ids, period)
    step = step_of(spec, period)
    measures = tuple(describe(name) for name in spec.measures)
    try:
        query = query_of(spec, account_ids=account_ids, period=period)
        rows = answer(query).rows if query is not None else []
    except Unanswerable as error:
        return Figures(spec, period, step, problem=str(error), measures=measures)
    lines = []
    for row in rows:
        keys = tuple(
            Key(str(dimension), str(value), str(value)) for dimension, value in row.keys.items()
        )
        values: dict[str, Value] = {str(name): value for name, value in row.values.items()}
        before: dict[str, Value] | None = None
        if row.before is not None:
            before = {str(name): value for name, value in row.before.items()}
        at, hour = row.at, None
        if step == "hour_of_week":
            at, hour = None, row.hour_of_week
        lines.append(Line(keys, values, before, at, hour))
    if spec.kind == Kind.BAR and not step:  # a bar of nothing is none
        lines = [line for line in lines if line.values.get(spec.measures[0])]
    steps: tuple[datetime, ...] = ()
    if step and step != "hour_of_week":
        known = {line.at for line in lines if line.at}
        steps = tuple(sorted({*steps_of(period, step), *known}))
    return Figures(spec, period, step, tuple(lines), steps, measures=measures)


def dead_letters(spec: WidgetSpec, account_ids: Sequence[UUID] | None, period: Period) -> Figures:
    """What waits for a person now, whatever the period: deliveries and receipts, by cause."""
    found = [
        ("delivery", _waiting(Delivery.objects.filter(status=Delivery.Status.EXHAUSTED),
                              account_ids, "last_cause", "exhausted_at")),
        ("receipt", _waiting(Receipt.objects.filter(status=Receipt.Status.DEAD),
                             account_ids, "type", "dead_at")),
    ]  # fmt: skip
    lines = [
        Line(
            (Key("kind", kind, kind), Key("why", why, visible(why) or "unknown")),
            {"waiting": count},
            at=oldest,
        )
        for kind, rows in found
        for why, count, oldest in rows
    ]
    lines.sort(key=lambda line: -(line.values["waiting"] or 0))
    limit = spec.limit or DEFAULT_ROWS
    return Figures(spec, period, "", tuple(lines[:limit]), measures=(describe("waiting"),))


def _waiting(
    rows: QuerySet[Delivery] | QuerySet[Receipt],
    account_ids: Sequence[UUID] | None,
    cause: str,
    moment: str,
) -> list[tuple[str, int, datetime | None]]:
    # Account by account, as the index by account and status has them.
    every: Any = Account.objects.order_by().values("pk")
    accounts = every if account_ids is None else account_ids
    return list(
        rows.filter(account__in=accounts)
        .order_by()
        .values_list(cause)
        .annotate(count=Count("pk"), oldest=Min(moment))
    )


def dead_letter_grid(figures: Figures) -> Grid:
    rows = tuple(
        (
            Cell("Delivery" if line.keys[0].value == "delivery" else "Receipt"),
            Cell(line.keys[1].name),
            Cell(line.values["waiting"], "count"),
            Cell(figures.period.local(line.at) if line.at else None),
        )
        for line in figures.lines
    )
    headers = ("What", "Cause, or type", "Waiting", "Oldest since")
    return Grid(headers, rows, (False, False, True, False))


def _named(found: Sequence[Figures], account_ids: Sequence[UUID] | None) -> list[Figures]:
    """With the names of the rows whose ids are among the keys: one query for each kind of row."""
    wanted: dict[str, set[str]] = {name: set() for name in NAMED_BY_ROW}
    for figures in found:
        for line in figures.lines:
            for key in line.keys:
                if key.dimension in wanted and key.value:
                    wanted[key.dimension].add(key.value)
    names = {name: _names(name, ids, account_ids) for name, ids in wanted.items() if ids}
    return [_renamed(figures, names) for figures in found]


def _names(dimension: str, ids: set[str], account_ids: Sequence[UUID] | None) -> dict[str, str]:
    rows = _MODELS[dimension]._default_manager.filter(pk__in=ids)
    if account_ids is not None:
        rows = rows.filter(**{"pk__in" if dimension == "account" else "account__in": account_ids})
    return {str(pk): visible(name) for pk, name in rows.values_list("pk", "name")}


def _renamed(figures: Figures, names: Mapping[str, Mapping[str, str]]) -> Figures:
    if not figures.spec.dimensions:
        return figures
    lines = tuple(
        Line(
            tuple(_renamed_key(key, names) for key in line.keys),
            line.values,
            line.before,
            line.at,
            line.hour,
        )
        for line in figures.lines
    )
    # Two rows of one name are told apart by the end of their ids.
    seen: dict[str, set[str]] = {}
    for line in lines:
        for key in line.keys:
            seen.setdefault(f"{key.dimension}:{key.name}", set()).add(key.value)
    lines = tuple(
        Line(
            tuple(
                Key(key.dimension, key.value, f"{key.name} (…{key.value[-4:]})")
                if len(seen[f"{key.dimension}:{key.name}"]) > 1
                else key
                for key in line.keys
            ),
            line.values,
            line.before,
            line.at,
            line.hour,
        )
        for line in lines
    )
    return Figures(
        figures.spec, figures.period, figures.step, lines, figures.steps, figures.problem,
        figures.measures,
    )  # fmt: skip


def _renamed_key(key: Key, names: Mapping[str, Mapping[str, str]]) -> Key:
    if not key.value or (key.dimension == "status_class" and key.value == "none"):
        return Key(key.dimension, key.value, _EMPTY_KEYS.get(key.dimension, "none"))
    if key.dimension in NAMED_BY_ROW:
        known = names.get(key.dimension, {}).get(key.value)
        return Key(key.dimension, key.value, known or f"deleted (…{key.value[-4:]})")
    return Key(key.dimension, key.value, visible(key.value))
