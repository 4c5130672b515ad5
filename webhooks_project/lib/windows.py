"""Delivery windows: the hours of the week in which something may happen. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import orjson

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FIELDS: Final = frozenset({"days", "from", "until", "time_zone"})


@dataclass(frozen=True, slots=True)
class Window:
    """Open from `start` to `end`, local time, on the days (0 is Monday) on which it starts.

    Where `end` is not after `start` it ends on the next day.
    """

    days: frozenset[int]
    start: time
    end: time
    zone: ZoneInfo

    def is_open(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        return any(
            opens <= now < ends
            for opens, ends in map(self._on, _dates_around(local, back=1))
            if opens is not None and ends is not None
        )

    def next_opening(self, now: datetime) -> datetime:
        """When it opens next; `now` where it is open."""
        if self.is_open(now):
            return now
        local = now.astimezone(self.zone)
        for ahead in range(9):
            opens, _ = self._on(local + timedelta(days=ahead))
            if opens is not None and opens > now:
                return opens
        raise AssertionError("a window opens on some day of a week")

    def _on(self, day: datetime) -> tuple[datetime | None, datetime | None]:
        """When the window of that local day opens and ends, in UTC; None where it has none."""
        if day.weekday() not in self.days:
            return None, None
        opens = datetime.combine(day.date(), self.start, self.zone)
        last = day.date() if self.end > self.start else day.date() + timedelta(days=1)
        ends = datetime.combine(last, self.end, self.zone)
        # In UTC: two moments of one zone would be compared by their clocks, across a change too.
        return opens.astimezone(UTC), ends.astimezone(UTC)


def parse_window(document: object) -> Window:
    """`{"days": ["mon", …], "from": "08:00", "until": "18:00", "time_zone": "Europe/Berlin"}`.

    Without days on all of them, without a zone in UTC. Raises ValueError.
    """
    if not isinstance(document, Mapping):
        raise ValueError("a window is an object with days, from, until and time_zone")
    return _parsed(orjson.dumps(dict(document), option=orjson.OPT_SORT_KEYS))


@lru_cache(maxsize=1024)
def _parsed(text: bytes) -> Window:
    document: dict[str, Any] = orjson.loads(text)
    if unknown := set(document) - FIELDS:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    days = document.get("days", list(DAYS))
    if not isinstance(days, list) or not days or any(day not in DAYS for day in days):
        raise ValueError(f"days are some of {', '.join(DAYS)}")
    zone = document.get("time_zone", "UTC")
    try:
        zone_info = ZoneInfo(zone)
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ValueError(f"{str(zone)[:64]!r} is no time zone") from error
    start, end = _time(document.get("from")), _time(document.get("until"))
    return Window(frozenset(map(DAYS.index, days)), start, end, zone_info)


def _time(text: object) -> time:
    try:
        if isinstance(text, str) and len(text) == len("08:00"):
            return time.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError("from and until are times such as 08:00")


def _dates_around(local: datetime, *, back: int) -> list[datetime]:
    return [local - timedelta(days=days) for days in range(back + 1)]
