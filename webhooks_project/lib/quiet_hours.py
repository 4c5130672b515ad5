"""Hours of the day in a time zone in which nobody shall be disturbed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From and until a time of the wall clock; over midnight where `until` is the smaller.

    Where the clock is put on or back they are never cut short: a time that comes twice begins them
    when it first comes and ends them when it comes again; a time that is left out is the moment at
    which it is.
    """

    begin: time
    until: time
    zone: ZoneInfo

    def end_of(self, moment: datetime) -> datetime | None:
        """When those end that `moment` lies in, in UTC; None where it lies in none."""
        today = moment.astimezone(self.zone).date()
        for day in (today - timedelta(days=1), today, today + timedelta(days=1)):
            last_day = day if self.begin < self.until else day + timedelta(days=1)
            starts_at = _instant(day, self.begin, self.zone, fold=0)
            ends_at = _instant(last_day, self.until, self.zone, fold=1)
            if starts_at <= moment < ends_at:
                return ends_at
        return None


@cache
def time_zones() -> frozenset[str]:
    """The names of all time zones that this machine knows."""
    return frozenset(available_timezones())


def _instant(day: date, wall: time, zone: ZoneInfo, *, fold: int) -> datetime:
    """When that zone's clock shows that time: the first time, or with a fold of 1 the last."""
    shown = datetime.combine(day, wall, zone).replace(fold=fold)
    moment = shown.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == shown.replace(tzinfo=None):
        return moment
    return _change_between(*sorted(_both_readings(shown)), zone=zone)


def _both_readings(shown: datetime) -> tuple[datetime, datetime]:
    """A time that the clock leaves out, by the offsets before and after."""
    return shown.replace(fold=0).astimezone(UTC), shown.replace(fold=1).astimezone(UTC)


def _change_between(early: datetime, late: datetime, *, zone: ZoneInfo) -> datetime:
    """The moment, to the second, at which the zone's offset changes."""
    before = early.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(zone).utcoffset() == before:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)
