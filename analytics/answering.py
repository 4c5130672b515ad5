"""Answering queries: what can be asked, what is read together, and the rows made of the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from analytics.buckets import moved_back
from analytics.buckets import zone_of as zone_named
from analytics.cells import (
    COLUMNS,
    IDS,
    MAX_ROWS,
    Cell,
    Cells,
    Keys,
    Stretch,
    read_cells,
    series_of,
    stretch,
)
from analytics.errors import (
    EmptyPeriod,
    LimitNotAcceptable,
    MeasureWithoutDimension,
    NoMeasure,
    OrderNotMeasured,
    TooManyRows,
    Unanswerable,
)
from analytics.figures import RECIPES, Figures
from analytics.periods import Grain, first_whole, start_of
from analytics.questions import Answer, Measure, Query, Row, Value
from analytics.rows import horizons, small_questions
from analytics.sketches import add_bins

Horizons = Mapping[tuple[Grain, bool], datetime]


def answer(query: Query) -> Answer:
    """Answer from as few rows as do. Raises Unanswerable."""
    [found] = answers([query])
    if isinstance(found, Unanswerable):
        raise found
    return found


def answers(queries: Sequence[Query]) -> list[Answer | Unanswerable]:
    """Answer many at once, in their order; those that differ in their measures alone are read
    together. What cannot be answered is its refusal, and the others stand."""
    found: dict[int, Answer | Unanswerable] = {}
    together: dict[Any, list[int]] = {}
    for index, query in enumerate(queries):
        try:
            _check(query)
        except Unanswerable as error:
            found[index] = error
        else:
            together.setdefault(_read_as(query), []).append(index)
    if together:
        with small_questions():
            whole_since = horizons()
            for indexes in together.values():
                group = [queries[index] for index in indexes]
                try:
                    reading = _Reading.of(group, whole_since)
                except Unanswerable as error:
                    found |= dict.fromkeys(indexes, error)
                    continue
                found |= {
                    index: reading.answered(query)
                    for index, query in zip(indexes, group, strict=True)
                }
    return [found[index] for index in range(len(queries))]


def _read_as(query: Query) -> Any:
    """What queries have alike that are read together."""
    order_by = query.order_by or query.measures[0]
    return (
        None if query.account_ids is None else frozenset(query.account_ids),
        query.since,
        query.until,
        query.time_zone,
        query.granularity,
        tuple(query.dimensions),
        frozenset((name, tuple(values)) for name, values in query.filters.items()),
        query.is_bounded,
        query.limit is None,
        # Receipts have causes of their own, of which attempts' rows shall not tell.
        tuple(series.model for series in series_of(query)) if query.dimensions else (),
        (query.limit, order_by) if _is_narrowed(query) else None,
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """The cells of a group of queries that are read together, and of the period before."""

    since: datetime
    until: datetime
    period: Stretch
    cells: Cells
    is_exact: bool
    since_before: datetime | None = None
    before: Cells | None = None
    was_exact: bool = True

    @classmethod
    def of(cls, group: Sequence[Query], whole_since: Horizons) -> _Reading:
        """Raises Unanswerable."""
        first = group[0]
        measures = list(dict.fromkeys(measure for query in group for measure in query.measures))
        zone = zone_named(first.time_zone)
        since = start_of(first.since, Grain.MINUTE)
        until = first_whole(first.until, Grain.MINUTE)
        period = stretch(since, until, first.granularity, zone)
        asked = replace(_narrowed(first, since, until, whole_since), measures=measures)
        cells, is_exact = read_cells(asked, period, whole_since)
        if not any(query.compare for query in group):
            return cls(since, until, period, cells, is_exact)
        since_before, until_before = moved_back(since, until, zone)
        past = stretch(since_before, until_before, first.granularity, zone)
        compared = [measure for query in group if query.compare for measure in query.measures]
        asked = replace(asked, measures=list(dict.fromkeys(compared)))
        before, was_exact = read_cells(asked, past, whole_since)
        return cls(since, until, period, cells, is_exact, since_before, before, was_exact)

    def answered(self, query: Query) -> Answer | Unanswerable:
        before = self.before if query.compare else None
        try:
            rows = _rows(query, self.period, self.cells, before)
        except Unanswerable as error:
            return error
        return Answer(
            rows=rows,
            since=self.since,
            until=self.until,
            since_before=self.since_before if query.compare else None,
            is_exact=self.is_exact and (self.was_exact or not query.compare),
        )


# --- what can be asked ----------------------------------------------------------------------------


def _check(query: Query) -> None:
    if not query.measures:
        raise NoMeasure
    if query.since >= query.until:
        raise EmptyPeriod
    if query.order_by is not None and query.order_by not in query.measures:
        raise OrderNotMeasured(f"{query.order_by} is not among the measures")
    if query.limit is not None and query.limit < 1:
        raise LimitNotAcceptable
    for measure in query.measures:
        series = RECIPES[measure].series
        for dimension in sorted(query.told - set(COLUMNS[series.model])):
            raise MeasureWithoutDimension(f"{measure} is not counted by {dimension}")


# --- rows of the answer ---------------------------------------------------------------------------


def _rows(query: Query, period: Stretch, cells: Cells, before: Cells | None) -> list[Row]:
    past = before or {}
    wanted = {*cells, *past}
    if not query.dimensions:
        wanted |= {(place, ()) for place in period.places}  # a chart has no holes
    wanted = {cell for cell in wanted if cell[0] in period.places}
    wanted = _limited(query, wanted, cells)
    if query.is_bounded and len(wanted) > MAX_ROWS:
        raise TooManyRows(max_rows=MAX_ROWS)
    nothing = Figures()
    # Many rows are of one period, and many of one combination of keys.
    named = {keys: dict(zip(query.dimensions, keys, strict=True)) for _, keys in wanted}
    has_moments = query.granularity is not None and not period.is_by_hour_of_week
    moments = {
        place: period.buckets[place].at.astimezone(period.zone) if has_moments else None
        for place, _ in wanted
    }
    rows = [
        Row(
            at=moments[cell[0]],
            keys=named[cell[1]],
            values=_values(query.measures, cells.get(cell, nothing)),
            before=None if before is None else _values(query.measures, past.get(cell, nothing)),
            hour_of_week=cell[0] if period.is_by_hour_of_week else None,
        )
        for cell in sorted(wanted)
    ]
    order_by = query.order_by
    if order_by is not None and query.granularity is None:
        rows.sort(key=lambda row: _most_first(row.values[order_by]))
    return rows


def _is_narrowed(query: Query) -> bool:
    return query.limit is not None and query.granularity is not None and len(query.dimensions) == 1


def _narrowed(query: Query, since: datetime, until: datetime, whole_since: Horizons) -> Query:
    """The question of the keys alone that a limit leaves, where they are of one dimension.

    To know them costs a few rows of coarse grains, and saves those of all other keys' periods.
    """
    if not _is_narrowed(query):
        return query
    [dimension] = query.dimensions
    measure = query.order_by or query.measures[0]
    by_all = replace(query, granularity=None, measures=[measure])
    whole = stretch(since, until, None, zone_named(query.time_zone))
    cells, _ = read_cells(by_all, whole, whole_since)
    if len(cells) <= (query.limit or 0):
        return query  # all that there are
    left = {keys[0] for _, keys in _limited(by_all, set(cells), cells)}
    if "" in left and dimension in IDS:  # no filter says of none
        return query
    return replace(query, filters={**query.filters, dimension: sorted(left)})


def _limited(query: Query, wanted: set[Cell], cells: Cells) -> set[Cell]:
    """The cells of the keys with the most, over the whole period."""
    if query.limit is None or not query.dimensions:
        return wanted
    measure = query.order_by or query.measures[0]
    parts: dict[Keys, list[Figures]] = {keys: [] for _, keys in wanted}
    for (_, keys), figures in cells.items():
        if keys in parts:
            parts[keys].append(figures)
    make = RECIPES[measure].make
    best = sorted(parts, key=lambda keys: (_most_first(make(_merged(measure, parts[keys]))), keys))
    left = set(best[: query.limit])
    return {cell for cell in wanted if cell[1] in left}


def _merged(measure: Measure, parts: Sequence[Figures]) -> Figures:
    """What a measure of all of them is made of."""
    if len(parts) == 1:
        return parts[0]
    recipe, merged = RECIPES[measure], Figures()
    for figures in parts:
        for name in recipe.sums:
            merged.add(name, figures.sums.get(name, 0))
        if recipe.sketch:
            bins = merged.sketches.setdefault(recipe.sketch, {})
            add_bins(bins, figures.sketches.get(recipe.sketch, {}))
    return merged


def _most_first(value: Value) -> tuple[bool, float]:
    return value is None, -(value or 0)


def _values(measures: Sequence[Measure], figures: Figures) -> dict[Measure, Value]:
    return {measure: RECIPES[measure].make(figures) for measure in measures}
