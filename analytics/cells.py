"""Reading rollups into the cells of an answer: which rows of which scope and grain, and where each
of them goes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connections
from django.db.models import Max, Q, QuerySet, Sum
from django.db.models.functions import ExtractHour, ExtractIsoWeekDay, Trunc

from analytics.buckets import (
    MAX_BUCKETS,
    Bucket,
    Segment,
    buckets,
    has_whole_hours,
    hour_of_week,
    joined,
    segments,
)
from analytics.errors import FilterNotAcceptable, StepsNotKept, TooManyPeriods, TooManyRows
from analytics.figures import RECIPES, Figures
from analytics.latencies import Joined, Version, add_joined, add_known
from analytics.models import SUCCEEDED, Scope
from analytics.periods import Grain
from analytics.questions import Dimension, Granularity, Query
from analytics.rows import WIDE, grouped, rows_and_keys
from analytics.sketches import add_stored
from analytics.tallies import ATTEMPTS, RECEIPTS, Series

MAX_ROWS: Final = 50_000
MAX_CELLS: Final = 200_000  # that are held while it is read, of which a limit leaves the most
NONE: Final = "none"  # what stands for an empty status class
UNTYPED: Final = "(none)"  # of receipts, whose types are whatever their senders call them
EMPTY: Final = {
    Dimension.CAUSE: SUCCEEDED, Dimension.STATUS_CLASS: NONE, Dimension.EVENT_TYPE: UNTYPED,
}  # fmt: skip
COLUMNS: Final = {
    ATTEMPTS.model: {
        Dimension.ACCOUNT: "account_id",
        Dimension.SUBSCRIPTION: "subscription_id",
        Dimension.EVENT_TYPE: "event_type",
        Dimension.CAUSE: "cause",
        Dimension.STATUS_CLASS: "status_class",
        Dimension.SOURCE: "source_id",
    },
    RECEIPTS.model: {
        Dimension.ACCOUNT: "account_id",
        Dimension.SOURCE: "source_id",
        Dimension.EVENT_TYPE: "event_type",
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
    (Scope.SOURCE, frozenset({Dimension.ACCOUNT, Dimension.SOURCE})),
    (Scope.FULL, frozenset(Dimension)),
)
IDS: Final = (Dimension.ACCOUNT, Dimension.SUBSCRIPTION, Dimension.SOURCE)
_TRUNCATED: Final = {
    Granularity.DAY: "day", Granularity.WEEK: "week", Granularity.MONTH: "month",
}  # fmt: skip
# What steps are made of at the coarsest, where a grain's row is longer than a step of days is.
_COARSEST: Final[dict[Granularity | None, Grain]] = {
    Granularity.MINUTE: Grain.MINUTE, Granularity.HOUR: Grain.HOUR,
    Granularity.HOUR_OF_WEEK: Grain.HOUR,
}  # fmt: skip
_EVERYWHERE: Final = {Dimension.CAUSE, Dimension.STATUS_CLASS, Dimension.VERDICT}
_SUMS: Final[dict[str, Any]] = {
    "succeeded": Sum("attempts", filter=Q(cause="")),
    "first_succeeded": Sum("first_attempts", filter=Q(cause="")),
    "accepted": Sum("receipts", filter=Q(verdict="accepted")),
    "refused": Sum("receipts", filter=Q(verdict="refused")),
    "duplicates": Sum("receipts", filter=Q(verdict="duplicate")),
    "total_us_max": Max("total_us_max"),
}

JOINED_BYTES: Final = 2**24  # of sketches in memory, where the database joins none
HOURS_OF_WEEK: Final = 7 * 24
HOUR: Final = timedelta(hours=1)
EDGES: Final = timedelta(days=2)  # what is beside whole days at both ends is less

Keys = tuple[str, ...]
Cell = tuple[int, Keys]  # the place of the period, and the keys
Cells = dict[Cell, Figures]


@dataclass(frozen=True, slots=True)
class Stretch:
    """The period of an answer: its buckets, and how rows get into them.

    Hours of the week have 168 places, and one bucket of it all.
    """

    buckets: list[Bucket]
    granularity: Granularity | None
    zone: ZoneInfo

    @property
    def is_by_hour_of_week(self) -> bool:
        return self.granularity is Granularity.HOUR_OF_WEEK

    @property
    def places(self) -> range:
        return range(HOURS_OF_WEEK if self.is_by_hour_of_week else len(self.buckets))

    def parts(self, whole_since: Mapping[Grain, datetime]) -> tuple[list[Segment], bool]:
        """The periods of rollups that make it up, and whether exactly."""
        coarsest = Grain.MONTH
        if self.is_by_hour_of_week:
            [whole] = self.buckets
            is_plain = has_whole_hours(self.zone, whole.start, whole.end)
            coarsest = Grain.HOUR if is_plain else Grain.MINUTE
        parts: list[Segment] = []
        is_exact = True
        for bucket in self.buckets:
            found, exact = segments(bucket.start, bucket.end, whole_since, coarsest)
            parts.extend(found)
            is_exact = is_exact and exact
        return parts, is_exact


def stretch(
    since: datetime, until: datetime, granularity: Granularity | None, zone: ZoneInfo
) -> Stretch:
    """Raises TooManyPeriods."""
    if granularity is not Granularity.HOUR_OF_WEEK:
        return Stretch(buckets(since, until, granularity, zone), granularity, zone)
    if until - since > MAX_BUCKETS * HOUR:
        raise TooManyPeriods(max_periods=MAX_BUCKETS)
    return Stretch([Bucket(since, since, until)], granularity, zone)


def read_cells(
    query: Query, period: Stretch, whole_since: Mapping[tuple[Grain, bool], datetime]
) -> tuple[Cells, bool]:
    """The cells in which something was counted, and whether the period's edges are exact.

    `whole_since` are the horizons. Raises Unanswerable.
    """
    cells: Cells = {}
    is_exact = True
    for series in series_of(query):
        is_exact = _read_series(query, series, period, whole_since, cells) and is_exact
    return cells, is_exact


def series_of(query: Query) -> list[Series]:
    wanted = {RECIPES[measure].series.model for measure in query.measures}
    return [series for series in (ATTEMPTS, RECEIPTS) if series.model in wanted]


def _read_series(
    query: Query,
    series: Series,
    period: Stretch,
    whole_since: Mapping[tuple[Grain, bool], datetime],
    cells: Cells,
) -> bool:
    told = query.told
    if query.account_ids is not None:
        told.add(Dimension.ACCOUNT)
    is_wide = _scope(series, told, series.scopes) in WIDE
    parts, is_exact = period.parts(
        {grain: moment for (grain, wide), moment in whole_since.items() if wide is is_wide}
    )
    by_grain: dict[Grain, list[Segment]] = {}
    for part in joined(parts):
        by_grain.setdefault(part.grain, []).append(part)
    found = [
        _Part(_scope(series, told, series.scopes_of(grain)), grain, ranges)
        for grain, ranges in by_grain.items()
    ]
    for each in found:
        is_coarse = each.grain > _COARSEST.get(period.granularity, each.grain)
        if is_coarse and _Reader(query, series, [each]).has_rows():
            raise StepsNotKept  # a whole day would stand at its first hour
    for together in _read_together(query, series, found):
        _Reader(query, series, together).read(period, cells)
    return is_exact


def _read_together(
    query: Query, series: Series, parts: Sequence[_Part]
) -> Iterator[Sequence[_Part]]:
    """Those that one statement reads: apart are those whose sketches are known at the next look."""
    if connections[series.model._default_manager.db].vendor != "postgresql":
        yield from ([part] for part in parts)  # SQLite finds no index for several at once
        return
    has_sketches = any(RECIPES[measure].sketch for measure in query.measures)
    for is_lasting in (True, False) if has_sketches else (None,):
        if found := [part for part in parts if is_lasting in (None, part.is_lasting)]:
            yield found


def _scope(series: Series, told: set[Dimension], available: Sequence[Scope]) -> Scope:
    needed = told - _EVERYWHERE
    return next(scope for scope, tells in _TELLS if scope in available and needed <= tells)


@dataclass(frozen=True, slots=True)
class _Part:
    """Periods of one scope and grain."""

    scope: Scope
    grain: Grain
    ranges: Sequence[Segment]

    @property
    def is_lasting(self) -> bool:
        """Whether it is the same at the next look, as the few hours and minutes at the edges are
        not."""
        length = sum((part.end - part.start for part in self.ranges), timedelta())
        return self.grain > Grain.HOUR or length > EDGES

    @property
    def rows(self) -> Q:
        in_time = Q()
        for part in self.ranges:
            in_time |= Q(at__gte=part.start, at__lt=part.end)
        return in_time & Q(scope=self.scope, grain=self.grain)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the rows of some parts into cells."""

    query: Query
    series: Series
    parts: Sequence[_Part]

    def read(self, period: Stretch, cells: Cells) -> None:
        rows, timed, place_of = self._placed(self._rows(), period)
        columns = COLUMNS[self.series.model]
        group = [columns[dimension] for dimension in self.query.dimensions]
        group_by = [*group, *timed]
        count, end = len(group), len(group_by)
        dimensions = self.query.dimensions
        most = MAX_ROWS if self.query.limit is None else MAX_CELLS
        names: dict[Any, Keys] = {}  # each combination comes once for each period

        def cell(values: Sequence[Any]) -> Figures:
            place = place_of(values[count:end])
            given = tuple(values[:count])
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
        sketches = sorted({recipe.sketch for recipe in mine if recipe.sketch})
        made = {f"sum_{name}": _SUMS.get(name, Sum(name)) for name in sums}
        joins = connections[rows.db].vendor == "postgresql"  # sketches, in the same pass
        joined = {f"all_{name}": Joined(name) for name in sketches if joins}
        knows = bool(joined) and all(part.is_lasting for part in self.parts)
        made |= {"version": Version()} if knows else joined
        unknown: set[tuple[Any, ...]] = set()
        for values in grouped(rows, group_by, made) if made else ():
            figures = cell(values)
            after = end + len(sums)
            for name, value in zip(sums, values[end:after], strict=True):
                figures.add(name, int(value or 0))
            if not knows:
                for name, value in zip(sketches, values[after:], strict=False):
                    add_stored(figures.sketches.setdefault(name, {}), value or b"")
            elif not add_known(figures, sketches, values[after]):
                unknown.add(tuple(values[:end]))
        if unknown:
            for values in grouped(rows, group_by, {"version": Version(), **joined}):
                if tuple(values[:end]) in unknown:
                    add_joined(cell(values), sketches, values[end + 1 :], values[end])
        if sketches and not joined:
            self._join(rows.values_list(*group_by, *sketches), sketches, cell)

    def _join(
        self, rows: QuerySet[Any, Any], sketches: Sequence[str], cell: Callable[..., Figures]
    ) -> None:
        """Put the rows' sketches behind each other, and then into their cells."""
        count = len(sketches)
        parts: dict[int, tuple[Figures, list[list[bytes]]]] = {}
        known: dict[tuple[Any, ...], list[list[bytes]]] = {}  # many rows are of one cell
        size = 0

        def leave() -> None:
            for figures, many in parts.values():
                for name, found in zip(sketches, many, strict=True):
                    add_stored(figures.sketches.setdefault(name, {}), b"".join(found))
                    found.clear()

        for key, values in rows_and_keys(rows, count):
            many = known.get(key)
            if many is None:
                figures = cell(key)
                made: list[list[bytes]] = [[] for _ in sketches]
                many = known[key] = parts.setdefault(id(figures), (figures, made))[1]
            for found, value in zip(many, values, strict=True):
                found.append(value)
                size += len(value)
            if size > JOINED_BYTES:
                leave()
                size = 0
        leave()

    def _placed(
        self, rows: QuerySet[Any], period: Stretch
    ) -> tuple[QuerySet[Any], list[str], Callable[[Sequence[Any]], int]]:
        """By what columns of time rows are grouped, and the place that those are of.

        Where all goes into one period the database adds it up; else by the rows' own periods.
        """
        zone = period.zone
        is_postgresql = connections[rows.db].vendor == "postgresql"
        knows_zones = is_postgresql and _is_unmistakable(zone)  # fewer groups come back
        if period.is_by_hour_of_week:
            if not knows_zones:
                return rows, ["at"], lambda values: hour_of_week(values[0], zone)
            rows = rows.annotate(
                week_day=ExtractIsoWeekDay("at", tzinfo=zone), hour=ExtractHour("at", tzinfo=zone)
            )
            return rows, ["week_day", "hour"], lambda values: (values[0] - 1) * 24 + values[1]
        if len(period.buckets) == 1:
            return rows, [], lambda values: 0
        starts = [bucket.at for bucket in period.buckets]
        truncated = _TRUNCATED.get(period.granularity) if period.granularity else None
        column = "at"
        if truncated and knows_zones:
            rows, column = rows.annotate(period=Trunc("at", truncated, tzinfo=zone)), "period"

        @cache  # many rows are of one period
        def place_of(at: datetime) -> int:
            return bisect_right(starts, at) - 1

        return rows, [column], lambda values: place_of(values[0])

    def has_rows(self) -> bool:
        return self._rows().exists()

    def _rows(self) -> QuerySet[Any]:
        of_parts = Q()
        for part in self.parts:
            of_parts |= part.rows
        rows = self.series.model._default_manager.filter(of_parts).order_by()
        if self.query.account_ids is not None:
            rows = rows.filter(account__in=list(self.query.account_ids))
        if self.series is ATTEMPTS and Dimension.SOURCE in self.query.told:
            rows = rows.filter(source__isnull=False)  # of those that came in through one
        columns = COLUMNS[self.series.model]
        for dimension, values in self.query.filters.items():
            wanted = [_value(dimension, value) for value in values]
            rows = rows.filter(**{f"{columns[dimension]}__in": wanted})
        return rows


def _is_unmistakable(zone: ZoneInfo) -> bool:
    """Whether PostgreSQL means the same by the zone's name. By CET, EET, MET and WET it means the
    abbreviations, which have no summer time; none of a region, such as Etc/GMT+10, is one."""
    return zone.key == "UTC" or "/" in zone.key


def _name(dimension: Dimension, value: Any) -> str:
    return str(value) if value not in (None, "") else EMPTY.get(dimension, "")


def _value(dimension: Dimension, name: str) -> Any:
    if EMPTY.get(dimension) == name:
        return ""
    if dimension in IDS:
        try:
            return UUID(name)
        except ValueError as error:
            raise FilterNotAcceptable(f"{dimension}: {name[:64]!r} is no id") from error
    if "\0" in name:  # which PostgreSQL does not take
        raise FilterNotAcceptable(f"{dimension}: no such value")
    return name
