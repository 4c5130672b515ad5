"""How long a source is usually silent, learned from the hours in which it was heard. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Final

HOURS_OF_WEEK: Final = 168
WEEKS: Final = 4  # of history that are looked at
MIN_RECEIPTS: Final = 20  # of the history; fewer teach nothing
MIN_WEEKS: Final = 2  # of the same hour, to go by the hour of the week
# With so many expected, none at all would come by chance less than once in a hundred times (of
# independent calls: e to the -5).
EXPECTED: Final = 5.0
LEAST: Final = timedelta(minutes=15)  # nobody is called for less
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Profile:
    """What was learned: the median of each hour of the week, from Monday 0:00 UTC, and the longest
    run of hours in which nothing came.

    `by_hour` is empty where the history is too short for that, `longest_gap` None where it says
    nothing at all.
    """

    by_hour: tuple[float, ...] = ()
    longest_gap: timedelta | None = None

    def as_json(self) -> dict[str, Any]:
        gap = self.longest_gap
        return {
            "by_hour": list(self.by_hour),
            "longest_gap_seconds": gap.total_seconds() if gap is not None else None,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Profile:
        gap = document.get("longest_gap_seconds")
        return cls(
            by_hour=tuple(document.get("by_hour", ())),
            longest_gap=None if gap is None else timedelta(seconds=gap),
        )


def learn(hours: Mapping[datetime, int], now: datetime) -> Profile:
    """Learn from the receipts by the hour in which they came, `hours` being its starts.

    Only whole hours count, and of those only the last weeks; the silence that goes on now is no
    part of what is usual.
    """
    end = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    heard = {
        hour: count
        for hour, count in hours.items()
        if count and end - timedelta(weeks=WEEKS) <= hour < end
    }
    if sum(heard.values()) < MIN_RECEIPTS:
        return Profile()
    first, last = min(heard), max(heard)
    return Profile(_by_hour(heard, first, last), _longest_gap(sorted(heard)))


def _by_hour(heard: Mapping[datetime, int], first: datetime, last: datetime) -> tuple[float, ...]:
    if last - first < timedelta(weeks=MIN_WEEKS) - _HOUR:
        return ()
    found: list[list[int]] = [[] for _ in range(HOURS_OF_WEEK)]
    hour = first
    while hour <= last:
        found[hour_of_week(hour)].append(heard.get(hour, 0))
        hour += _HOUR
    return tuple(float(median(counts)) if counts else 0.0 for counts in found)


def _longest_gap(heard: Sequence[datetime]) -> timedelta | None:
    """Between hours with something: at most so much passed between two calls."""
    gaps = [later - earlier for earlier, later in itertools.pairwise(heard)]
    return max(gaps, default=None)


def usual_silence(profile: Profile, last_received_at: datetime) -> timedelta | None:
    """How long a silence that began then may last before it is unusual; None where none would be.

    By the hours of the week: until so many calls were to be expected that none at all is no
    chance. Where these say nothing, by the longest gap that there was.
    """
    if profile.by_hour:
        by_hours = _until_expected(profile.by_hour, last_received_at)
        if by_hours is not None:
            return max(by_hours, LEAST)
    return max(profile.longest_gap, LEAST) if profile.longest_gap is not None else None


def _until_expected(by_hour: Sequence[float], since: datetime) -> timedelta | None:
    """How long after `since` so many are to be expected; None where not within a week.

    The rest of the hour in which it began is left out: what comes in that hour may come all at
    once, and have come.
    """
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
    expected = 0.0
    for _ in range(HOURS_OF_WEEK):
        rate = by_hour[hour_of_week(hour)]
        if rate and expected + rate >= EXPECTED:
            return hour + (EXPECTED - expected) / rate * _HOUR - since
        expected += rate
        hour += _HOUR
    return None


def hour_of_week(moment: datetime) -> int:
    """0 for Monday 0:00 to 167 for Sunday 23:00, in UTC."""
    moment = moment.astimezone(UTC)
    return moment.weekday() * 24 + moment.hour
