"""The time zones that people may choose. Pure."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones


@cache
def time_zones() -> frozenset[str]:
    """Every name, such as Europe/Berlin."""
    return frozenset(name for name in available_timezones() if not name.startswith("posix"))


def is_time_zone(name: str) -> bool:
    return name in time_zones()
