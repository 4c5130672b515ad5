"""The periods of an answer, by the clocks of a time zone, and the rollups that make them up. Pure.

Daylight saving: a local day has 23 to 25 hours; an hour that comes twice is two hours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from analytics.errors import TooManyPeriods, UnknownTimeZone
from analytics.periods import Grain, end_of, first_whole, start_of
from analytics.questions import Granularity
from webhooks_project.lib.time_zones import is_time_zone

MAX_BUCKETS: Final = 20_000  # two weeks of minutes, two years of hours
_HOUR: Final = timedelta(hours=1)
_STEPS: Final = {
    Granularity.MINUTE: timedelta(minutes=1),
    Granularity.HOUR: timedelta(hours=1),
    Granularity.HOUR_OF_WEEK: timedelta(hours=1),
}


@dataclass(frozen=True, slots=True)
class Bucket:
    """One period of an answer, in UTC, cut to what was asked; `at` is its start on the clock."""

    at: datetime
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Segment:
    """Whole periods of one grain."""

    grain: Grain
    start: datetime
    end: datetime


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises UnknownTimeZone."""
    if not is_time_zone(name):  # never a path, and never a file that is no zone
        raise UnknownTimeZone(f"{name[:64]!r} is no time zone")
    return ZoneInfo(name)


def buckets(
    since: datetime, until: datetime, granularity: Granularity | None, zone: ZoneInfo
) -> list[Bucket]:
    """The periods that meet `[since, until)`, in order; one of all where there is no granularity.

    Raises Unanswerable where they are too many.
    """
    if granularity is None:
        return [Bucket(since, since, until)]
    found: list[Bucket] = []
    at = _start(since, granularity, zone)
    while at < until:
        following = _following(at, granularity, zone)
        found.append(Bucket(at, max(at, since), min(following, until)))
        at = following
        if len(found) > MAX_BUCKETS:
            raise TooManyPeriods(max_periods=MAX_BUCKETS)
    return found


def _start(moment: datetime, granularity: Granularity, zone: ZoneInfo) -> datetime:
    """The start of the local period that the moment lies in, in UTC."""
    local = moment.astimezone(zone)
    match granularity:
        case Granularity.MINUTE:
            return start_of(moment, Grain.MINUTE)
        case Granularity.HOUR | Granularity.HOUR_OF_WEEK:
            # In elapsed time: of an hour that comes twice each has its own start.
            within = timedelta(
                minutes=local.minute, seconds=local.second, microseconds=local.microsecond
            )
            return (moment - within).astimezone(UTC)
        case Granularity.DAY:
            day = local.date()
        case Granularity.WEEK:
            day = local.date() - timedelta(days=local.weekday())
        case Granularity.MONTH:
            day = local.date().replace(day=1)
    return _midnight(day, zone)


def _following(start: datetime, granularity: Granularity, zone: ZoneInfo) -> datetime:
    if step := _STEPS.get(granularity):
        after = _start(start + step, granularity, zone)
        # Clocks that are put on or back by half an hour: no period is empty.
        return after if after > start else start + step
    day = start.astimezone(zone).date()
    match granularity:
        case Granularity.DAY:
            day += timedelta(days=1)
        case Granularity.WEEK:
            day += timedelta(days=7)
        case _:
            day = (day + timedelta(days=32)).replace(day=1)
    return _midnight(day, zone)


def has_whole_hours(zone: ZoneInfo, since: datetime, until: datetime) -> bool:
    """Whether the zone's clocks are whole hours from UTC on every day of the period."""
    at = since
    while at < until + timedelta(days=1):
        offset = at.astimezone(zone).utcoffset()
        if offset is not None and offset % _HOUR:
            return False
        at += timedelta(days=1)
    return True


def hour_of_week(start: datetime, zone: ZoneInfo) -> int:
    local = start.astimezone(zone)
    return local.weekday() * 24 + local.hour


def moved_back(since: datetime, until: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The period before: of as many days where it is of whole local days, which have 23 to 25
    hours, else of the same time elapsed."""
    start, end = since.astimezone(zone).date(), until.astimezone(zone).date()
    if (_midnight(start, zone), _midnight(end, zone)) == (since, until):
        return _midnight(start - (end - start), zone), since
    return since - (until - since), since


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def segments(
    start: datetime,
    end: datetime,
    whole_since: Mapping[Grain, datetime],
    coarsest: Grain = Grain.MONTH,
) -> tuple[list[Segment], bool]:
    """The fewest periods of rollups that make up `[start, end)`, in order, and whether exactly.

    `whole_since` says from when on a grain is whole; absent: always. What of an edge lies within a
    period that is kept as a whole only goes with the period's start. Coarser than `coarsest` are
    those alone of which nothing finer is left; they are not exact.
    """
    found: list[Segment] = []
    is_exact = True
    for part, exact in _tiles(start, end, coarsest, whole_since, coarsest):
        found.extend(part)
        is_exact = is_exact and exact
    return found, is_exact


Tiles = Iterator[tuple[list[Segment], bool]]


def _tiles(
    start: datetime,
    end: datetime,
    grain: Grain,
    whole_since: Mapping[Grain, datetime],
    coarsest: Grain,
) -> Tiles:
    """The whole periods of the grain, and finer ones up to them and from them on."""
    if start >= end:
        return
    if (horizon := whole_since.get(grain)) and horizon > start:
        yield from _of_what_is_left(start, min(end, horizon), whole_since, coarsest)
        yield from _tiles(max(start, horizon), end, grain, whole_since, coarsest)
        return
    first, last = first_whole(start, grain), start_of(end, grain)
    if grain is Grain.MINUTE:
        last = first_whole(end, grain)
        yield [Segment(grain, first, last)] if first < last else [], (first, last) == (start, end)
        return
    finer = Grain(grain - 1)
    if first >= last:
        if first == last:  # they meet in the midst
            yield from _tiles(start, first, finer, whole_since, coarsest)
            yield from _tiles(last, end, finer, whole_since, coarsest)
        else:
            yield from _tiles(start, end, finer, whole_since, coarsest)
        return
    yield from _tiles(start, first, finer, whole_since, coarsest)
    yield [Segment(grain, first, last)], True
    yield from _tiles(last, end, finer, whole_since, coarsest)


def _of_what_is_left(
    start: datetime, end: datetime, whole_since: Mapping[Grain, datetime], coarsest: Grain
) -> Tiles:
    """Where the finer grains are not to be had: the period by the finest that each part has."""
    for finest, region_start, region_end in _regions(start, end, whole_since):
        first, last = first_whole(region_start, finest), first_whole(region_end, finest)
        is_exact = finest <= coarsest and (first, last) == (region_start, region_end)
        yield list(_cover(first, last, max(coarsest, finest), finest)), is_exact


def _regions(
    start: datetime, end: datetime, whole_since: Mapping[Grain, datetime]
) -> Iterator[tuple[Grain, datetime, datetime]]:
    """The parts of the period by the finest grain that each is to be had in, the oldest first."""
    at = start
    for grain in (Grain.DAY, Grain.HOUR, Grain.MINUTE):
        finer = whole_since.get(Grain(grain - 1)) if grain > Grain.MINUTE else None
        until = end if grain is Grain.MINUTE else min(end, finer) if finer else at
        if at < until:
            yield grain, at, until
            at = until


def _cover(start: datetime, end: datetime, grain: Grain, finest: Grain) -> Iterator[Segment]:
    if start >= end:
        return
    first, last = first_whole(start, grain), start_of(end, grain)
    if grain is finest or first < last:
        if grain > finest:
            yield from _cover(start, first, Grain(grain - 1), finest)
        yield Segment(grain, first, last)
        if grain > finest:
            yield from _cover(last, end, Grain(grain - 1), finest)
        return
    yield from _cover(start, end, Grain(grain - 1), finest)


def joined(parts: list[Segment]) -> list[Segment]:
    """The same with neighbours of one grain as one."""
    found: list[Segment] = []
    for part in parts:
        if found and found[-1].grain is part.grain and found[-1].end == part.start:
            found[-1] = Segment(part.grain, found[-1].start, part.end)
        else:
            found.append(part)
    return found


__all__ = ["Bucket", "Segment", "buckets", "end_of", "joined", "moved_back", "segments", "zone_of"]
