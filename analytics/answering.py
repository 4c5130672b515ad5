"""Answering a query: which rows of which scope and grain are read, and what is made of them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connections
from django.db.models import Aggregate, BinaryField, Max, Q, QuerySet, Sum
from django.db.models.functions import Trunc

from analytics.buckets import Bucket, Segment, buckets, hour_of_week, joined, moved_back, segments
from analytics.buckets import zone_of as zone_named
from analytics.errors import (
    EmptyPeriod,
    FilterNotAcceptable,
    LimitNotAcceptable,
    MeasureWithoutDimension,
    NoMeasure,
    OrderNotMeasured,
    StepsNotKept,
    TooManyRows,
)
from analytics.figures import RECIPES, Figures
from analytics.models import SUCCEEDED, Scope
from analytics.periods import Grain, first_whole, start_of
from analytics.questions import Answer, Dimension, Granularity, Measure, Query, Row, Value
from analytics.rows import WIDE, horizons
from analytics.sketches import add_stored
from analytics.tallies import ATTEMPTS, RECEIPTS, Series

MAX_ROWS: Final = 50_000
MAX_CELLS: Final = 200_000  # that are held while it is read, of which a limit leaves the most
NONE: Final = "none"  # what stands for an empty status class
EMPTY: Final = {Dimension.CAUSE: SUCCEEDED, Dimension.STATUS_CLASS: NONE}
COLUMNS: Final = {
    ATTEMPTS.model: {
        Dimension.ACCOUNT: "account_id",
        Dimension.SUBSCRIPTION: "subscription_id",
        Dimension.EVENT_TYPE: "event_type",
        Dimension.CAUSE: "cause",
        Dimension.STATUS_CLASS: "status_class",
    },
    RECEIPTS.model: {
        Dimension.ACCOUNT: "account_id",
        Dimension.SOURCE: "source_id",
        Dimension.CAUSE: "cause",
        Dimension.VERDICT: "verdict",
    },
}
# What each scope tells apart, the coarsest first; cause, status class and verdict all do.
_TELLS: Final = (
    (Scope.HUB, frozenset[Dimension]()),
    (Scope.ACCOUNT, frozenset({Dimension.ACCOUNT})),
    (Scope.EVENT_TYPE, frozenset({Dimension.ACCOUNT, Dimension.EVENT_TYPE})),
    (Scope.SUBSCRIPTION, frozenset({Dimension.ACCOUNT, Dimension.SUBSCRIPTION})),
    (Scope.FULL, frozenset(Dimension)),
)
_IDS: Final = (Dimension.ACCOUNT, Dimension.SUBSCRIPTION, Dimension.SOURCE)
_TRUNCATED: Final = {
    Granularity.DAY: "day",
    Granularity.WEEK: "week",
    Granularity.MONTH: "month",
}
# What steps are made of at the coarsest, where a grain's row is longer than a step of days is.
_COARSEST: Final[dict[Granularity | None, Grain]] = {
    Granularity.MINUTE: Grain.MINUTE,
    Granularity.HOUR: Grain.HOUR,
    Granularity.HOUR_OF_WEEK: Grain.HOUR,
}
_EVERYWHERE: Final = {Dimension.CAUSE, Dimension.STATUS_CLASS, Dimension.VERDICT}
_SUMS: Final[dict[str, Any]] = {
    "succeeded": Sum("attempts", filter=Q(cause="")),
    "first_succeeded": Sum("first_attempts", filter=Q(cause="")),
    "accepted": Sum("receipts", filter=Q(verdict="accepted")),
    "refused": Sum("receipts", filter=Q(verdict="refused")),
    "duplicates": Sum("receipts", filter=Q(verdict="duplicate")),
    "total_us_max": Max("total_us_max"),
}

Keys = tuple[str, ...]
Cell = tuple[int, Keys]  # the place of the period, and the keys
Cells = dict[Cell, Figures]


class Joined(Aggregate):
    """Stored sketches behind each other, which is the sketch of all."""

    function = "string_agg"
    template = "%(function)s(%(expressions)s, ''::bytea)"
    output_field = BinaryField()


@dataclass(frozen=True, slots=True)
class _Period:
    """The buckets of one period, and how rows get into them."""

    buckets: list[Bucket]
    granularity: Granularity | None
    zone: ZoneInfo

    @property
    def starts(self) -> list[datetime]:
        return [bucket.at for bucket in self.buckets]

    def places(self) -> list[int]:
        """The place in the answer of each bucket."""
        if self.granularity is Granularity.HOUR_OF_WEEK:
            return [hour_of_week(bucket.at, self.zone) for bucket in self.buckets]
        return list(range(len(self.buckets)))


def answer(query: Query) -> Answer:
    """Answer from as few rows as do. Raises Unanswerable."""
    _check(query)
    zone = zone_named(query.time_zone)
    since = start_of(query.since, Grain.MINUTE)
    until = first_whole(query.until, Grain.MINUTE)
    period = _Period(buckets(since, until, query.granularity, zone), query.granularity, zone)
    query = _narrowed(query, _Period(buckets(since, until, None, zone), None, zone))
    cells, is_exact = _read(query, period)
    before: Cells | None = None
    since_before = None
    if query.compare:
        since_before, until_before = moved_back(since, until, zone)
        past = _Period(
            buckets(since_before, until_before, query.granularity, zone), query.granularity, zone
        )
        before, was_exact = _read(query, past)
        is_exact = is_exact and was_exact
    return Answer(
        rows=_rows(query, period, cells, before),
        since=since,
        until=until,
        since_before=since_before,
        is_exact=is_exact,
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
    told = {*query.dimensions, *query.filters}
    for measure in query.measures:
        series = RECIPES[measure].series
        for dimension in sorted(told - set(COLUMNS[series.model])):
            raise MeasureWithoutDimension(f"{measure} is not counted by {dimension}")


def _series_of(query: Query) -> list[Series]:
    wanted = {RECIPES[measure].series.model for measure in query.measures}
    return [series for series in (ATTEMPTS, RECEIPTS) if series.model in wanted]


# --- reading --------------------------------------------------------------------------------------


def _read(query: Query, period: _Period) -> tuple[Cells, bool]:
    cells: Cells = {}
    is_exact = True
    for series in _series_of(query):
        is_exact = _read_series(query, series, period, cells) and is_exact
    return cells, is_exact


def _read_series(query: Query, series: Series, period: _Period, cells: Cells) -> bool:
    told = {*query.dimensions, *query.filters}
    if query.account_ids is not None:
        told.add(Dimension.ACCOUNT)
    scope = _scope(series, told, series.scopes)
    since = {
        grain: moment
        for (grain, is_wide), moment in horizons().items()
        if is_wide is (scope in WIDE)
    }
    is_exact = True
    parts: list[Segment] = []
    for bucket in period.buckets:
        found, exact = segments(bucket.start, bucket.end, since)
        parts.extend(found)
        is_exact = is_exact and exact
    by_grain: dict[Grain, list[Segment]] = {}
    for part in joined(parts):
        by_grain.setdefault(part.grain, []).append(part)
    for grain, ranges in by_grain.items():
        reader = _Reader(query, series, _scope(series, told, series.scopes_of(grain)), grain)
        if grain > _COARSEST.get(period.granularity, grain) and reader.has_rows(ranges):
            raise StepsNotKept  # a whole day would stand at its first hour
        reader.read(ranges, period, cells)
    return is_exact


def _scope(series: Series, told: set[Dimension], available: Sequence[Scope]) -> Scope:
    needed = told - _EVERYWHERE
    return next(scope for scope, tells in _TELLS if scope in available and needed <= tells)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the rows of one scope and grain into cells."""

    query: Query
    series: Series
    scope: Scope
    grain: Grain

    def read(self, ranges: list[Segment], period: _Period, cells: Cells) -> None:
        rows = self._rows(ranges)
        columns = COLUMNS[self.series.model]
        group = [columns[dimension] for dimension in self.query.dimensions]
        # Where all goes into one period the database adds it up; else by the rows' own periods.
        group_by = group if len(period.buckets) == 1 else [*group, "at"]
        truncated = _TRUNCATED.get(period.granularity) if period.granularity else None
        if truncated and connections[rows.db].vendor == "postgresql" and len(period.buckets) > 1:
            # Which day of the zone an hour lies in PostgreSQL knows too: fewer groups come back.
            rows = rows.annotate(period=Trunc("at", truncated, tzinfo=period.zone))
            group_by = [*group, "period"]
        starts, places = period.starts, period.places()
        dimensions = self.query.dimensions
        most = MAX_ROWS if self.query.limit is None else MAX_CELLS
        names: dict[Any, Keys] = {}  # each combination comes once for each period

        def cell(values: Sequence[Any]) -> Figures:
            at = None if len(period.buckets) == 1 else values[len(group)]
            place = places[0 if at is None else bisect_right(starts, at) - 1]
            given = tuple(values[: len(group)])
            keys = names.get(given)
            if keys is None:
                keys = names[given] = tuple(map(_name, dimensions, given))
            found = cells.get((place, keys))
            if found is None:
                if self.query.is_bounded and len(cells) >= most:
                    raise TooManyRows(max_rows=most)
                found = cells[place, keys] = Figures()
            return found

        recipes = [RECIPES[measure] for measure in self.query.measures]
        mine = [recipe for recipe in recipes if recipe.series.model is self.series.model]
        sums = sorted({name for recipe in mine for name in recipe.sums})
        if sums:
            made = {f"sum_{name}": _SUMS.get(name, Sum(name)) for name in sums}
            for values in _grouped(rows, group_by, made):
                figures = cell(values)
                for name, value in zip(sums, values[len(group_by) :], strict=True):
                    figures.add(name, int(value or 0))
        for sketch in sorted({recipe.sketch for recipe in mine if recipe.sketch}):
            for values, stored in self._sketches(rows, group_by, sketch):
                add_stored(cell(values).sketches.setdefault(sketch, {}), stored)

    def has_rows(self, ranges: list[Segment]) -> bool:
        return self._rows(ranges).exists()

    def _rows(self, ranges: list[Segment]) -> QuerySet[Any]:
        in_time = Q()
        for part in ranges:
            in_time |= Q(at__gte=part.start, at__lt=part.end)
        rows = self.series.model._default_manager.filter(
            in_time, scope=self.scope, grain=self.grain
        ).order_by()
        if self.query.account_ids is not None:
            rows = rows.filter(account__in=list(self.query.account_ids))
        columns = COLUMNS[self.series.model]
        for dimension, values in self.query.filters.items():
            wanted = [_value(dimension, value) for value in values]
            rows = rows.filter(**{f"{columns[dimension]}__in": wanted})
        return rows

    def _sketches(
        self, rows: QuerySet[Any], group_by: list[str], sketch: str
    ) -> Iterator[tuple[Sequence[Any], bytes]]:
        if connections[rows.db].vendor == "postgresql":
            found = _grouped(rows, group_by, {"behind_each_other": Joined(sketch)})
        else:
            found = rows.values_list(*group_by, sketch).iterator(chunk_size=2_000)
        for values in found:
            yield values, values[-1] or b""


def _grouped(
    rows: QuerySet[Any], group_by: Sequence[str], made: Mapping[str, Any]
) -> Iterator[Sequence[Any]]:
    """The columns grouped by, and after them what is made of each group."""
    if group_by:
        yield from rows.values_list(*group_by).annotate(**made).iterator(chunk_size=2_000)
        return
    found = rows.aggregate(**made)
    yield [found[name] for name in made]


def _name(dimension: Dimension, value: Any) -> str:
    return str(value) if value not in (None, "") else EMPTY.get(dimension, "")


def _value(dimension: Dimension, name: str) -> Any:
    if EMPTY.get(dimension) == name:
        return ""
    if dimension in _IDS:
        try:
            return UUID(name)
        except ValueError as error:
            raise FilterNotAcceptable(f"{dimension}: {name[:64]!r} is no id") from error
    if "\0" in name:  # which PostgreSQL does not take
        raise FilterNotAcceptable(f"{dimension}: no such value")
    return name


# --- rows of the answer ---------------------------------------------------------------------------


def _rows(query: Query, period: _Period, cells: Cells, before: Cells | None) -> list[Row]:
    past = before or {}
    wanted = {*cells, *past}
    places = set(period.places())
    if not query.dimensions:
        # A chart has no holes.
        wanted |= {
            (place, ())
            for place in (
                range(7 * 24) if query.granularity is Granularity.HOUR_OF_WEEK else places
            )
        }
    if query.granularity is not Granularity.HOUR_OF_WEEK:
        wanted = {cell for cell in wanted if cell[0] in places}
    wanted = _limited(query, wanted, cells)
    if query.is_bounded and len(wanted) > MAX_ROWS:
        raise TooManyRows(max_rows=MAX_ROWS)
    nothing = Figures()
    rows = []
    for place, keys in sorted(wanted):
        at, hour = None, None
        if query.granularity is Granularity.HOUR_OF_WEEK:
            hour = place
        elif query.granularity is not None:
            at = period.buckets[place].at.astimezone(period.zone)
        rows.append(
            Row(
                at=at,
                keys=dict(zip(query.dimensions, keys, strict=True)),
                values=_values(query.measures, cells.get((place, keys), nothing)),
                before=(
                    None
                    if before is None
                    else _values(query.measures, past.get((place, keys), nothing))
                ),
                hour_of_week=hour,
            )
        )
    order_by = query.order_by
    if order_by is not None and query.granularity is None:
        rows.sort(key=lambda row: _most_first(row.values[order_by]))
    return rows


def _narrowed(query: Query, whole: _Period) -> Query:
    """The question of the keys alone that a limit leaves, where they are of one dimension.

    To know them costs a few rows of coarse grains, and saves those of all other keys' periods.
    """
    if query.limit is None or query.granularity is None or len(query.dimensions) != 1:
        return query
    [dimension] = query.dimensions
    by_all = replace(query, granularity=None)
    cells, _ = _read(by_all, whole)
    left = {keys[0] for _, keys in _limited(by_all, set(cells), cells)}
    if "" in left and dimension in _IDS:  # no filter says of none
        return query
    return replace(query, filters={**query.filters, dimension: sorted(left)})


def _limited(query: Query, wanted: set[Cell], cells: Cells) -> set[Cell]:
    """The cells of the keys with the most, over the whole period."""
    if query.limit is None or not query.dimensions:
        return wanted
    by_keys: dict[Keys, Figures] = {keys: Figures() for _, keys in wanted}
    for (_, keys), figures in cells.items():
        if keys in by_keys:
            into = by_keys[keys]
            for name, value in figures.sums.items():
                into.add(name, value)
            for name, bins in figures.sketches.items():
                merged = into.sketches.setdefault(name, {})
                for number, count in bins.items():
                    merged[number] = merged.get(number, 0) + count
    measure = query.order_by or query.measures[0]
    make = RECIPES[measure].make
    best = sorted(by_keys, key=lambda keys: (_most_first(make(by_keys[keys])), keys))
    left = set(best[: query.limit])
    return {cell for cell in wanted if cell[1] in left}


def _most_first(value: Value) -> tuple[bool, float]:
    return value is None, -(value or 0)


def _values(measures: Sequence[Measure], figures: Figures) -> dict[Measure, Value]:
    return {measure: RECIPES[measure].make(figures) for measure in measures}
