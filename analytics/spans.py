"""Stretches of time that are looked at, and the steps in which a chart goes through them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.time_zones import is_time_zone

DAY: Final = timedelta(days=1)
MAX_PERIOD: Final = timedelta(days=732)
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2200
# What the page offers; those of a day and longer begin at local midnight.
NAMED: Final = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("24 hours", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
    "90d": ("90 days", timedelta(days=90)),
    "1y": ("A year", timedelta(days=365)),
}
DEFAULT: Final = "24h"
STEPS: Final = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": DAY,
    "week": timedelta(days=7),
    "month": timedelta(days=30),
}


class PeriodNotAcceptable(DomainError):
    """A period ends after it begins and has at most two years."""

    code = "period_not_acceptable"


class TimeZoneUnknown(DomainError):
    """There is no such time zone; one is Europe/Berlin."""

    code = "time_zone_unknown"


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` to before `until`, seen in a time zone. `name` is one of NAMED, or empty."""

    since: datetime
    until: datetime
    time_zone: str = "UTC"
    name: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.time_zone)

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)

    def __str__(self) -> str:
        since, until = self.local(self.since), self.local(self.until)
        if since.time() == until.time() == time():
            last = until - timedelta(seconds=1)
            if last.date() == since.date():
                return f"{since:%Y-%m-%d}"
            return f"{since:%Y-%m-%d} to {last:%Y-%m-%d}"
        return f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises TimeZoneUnknown."""
    if not is_time_zone(name):  # never a path, and never a file that is no zone
        raise TimeZoneUnknown
    return ZoneInfo(name)


def named_period(name: str, *, now: datetime, time_zone: str = "UTC") -> Period:
    """The period of NAMED that ends now, with the present minute. Raises PeriodNotAcceptable."""
    if name not in NAMED:
        raise PeriodNotAcceptable(f"a period is one of {', '.join(NAMED)}, or since and until")
    zone = zone_of(time_zone)
    until = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    length = NAMED[name][1]
    if length <= timedelta(hours=1):
        since = until - length
    elif length <= DAY:
        since = _floor_hour(now - length + timedelta(hours=1), zone)
    else:
        first = now.astimezone(zone).date() - (length - DAY)  # `until` may be of tomorrow
        since = _midnight(first, zone)
    return Period(since, until, time_zone, name)


def own_period(since: datetime, until: datetime, *, time_zone: str = "UTC") -> Period:
    """A period of one's own; moments without a time zone are local. Raises PeriodNotAcceptable."""
    zone = zone_of(time_zone)
    try:
        since, until = (
            (moment if moment.tzinfo else moment.replace(tzinfo=zone)).astimezone(UTC)
            for moment in (since, until)
        )
    except OverflowError as error:  # the year 0, or 10,000
        raise PeriodNotAcceptable from error
    if not timedelta() < until - since <= MAX_PERIOD or not is_of_our_time(since, until):
        raise PeriodNotAcceptable
    return Period(since, until, time_zone)


def is_of_our_time(since: datetime, until: datetime) -> bool:
    """Whether it lies so far from the ends of the calendar that it has a before, in each zone."""
    return since.year >= FIRST_YEAR and until.year <= LAST_YEAR


def granularity_of(period: Period, most: int) -> str:
    """The finest step that goes through the period in at most so many."""
    for name, step in STEPS.items():
        if period.length / step <= most:
            return name
    return "month"


def steps_of(period: Period, granularity: str) -> list[datetime]:
    """When each step of the period begins, in UTC; the first may begin before the period."""
    zone = period.zone
    if granularity in ("minute", "hour"):
        first = period.since.astimezone(UTC).replace(second=0, microsecond=0)
        if granularity == "hour":
            first = _floor_hour(first, zone)
        return list(_every(first, period.until, STEPS[granularity]))
    day = period.local(period.since).date()
    if granularity == "week":
        day -= timedelta(days=day.weekday())
    elif granularity == "month":
        day = day.replace(day=1)
    found = []
    while (moment := _midnight(day, zone)) < period.until:
        found.append(moment)
        day = _next(day, granularity)
    return found


def whole_days(period: Period, days: int, now: datetime) -> tuple[datetime, datetime]:
    """So many whole local days up to the day that the period ends in, or up to today: its last day
    counts where it is over."""
    end = period.local(min(period.until, now)).date()
    return _midnight(end - days * DAY, period.zone), _midnight(end, period.zone)


# --- periods of reports ---------------------------------------------------------------------------


def last_full(kind: str, now: datetime, time_zone: str) -> Period:
    """The last whole day, week (from Monday) or month before `now`."""
    zone = zone_of(time_zone)
    end = _begin(kind, now.astimezone(zone).date())
    return Period(_midnight(_begin(kind, end - DAY), zone), _midnight(end, zone), time_zone)


def next_slot(kind: str, hour: int, after: datetime, time_zone: str) -> datetime:
    """When a report that is sent daily, on Mondays or on the first is due next, after `after`.

    Where the clocks leave that hour out it is an hour later; where they have it twice, the first.
    """
    zone = zone_of(time_zone)
    day = _begin(kind, after.astimezone(zone).date())
    while (slot := datetime.combine(day, time(hour), zone).astimezone(UTC)) <= after:
        day = _next(day, {"daily": "day", "weekly": "week", "monthly": "month"}[kind])
    return slot


def _begin(kind: str, day: date) -> date:
    """The first day of the day's period."""
    if kind == "weekly":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if kind == "monthly" else day


def _next(day: date, step: str) -> date:
    if step == "month":
        return (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return day + (timedelta(days=7) if step == "week" else DAY)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _floor_hour(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment.astimezone(zone)
    past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return (moment - past).astimezone(UTC)


def _every(first: datetime, until: datetime, step: timedelta) -> Iterator[datetime]:
    while first < until:
        yield first
        first += step
