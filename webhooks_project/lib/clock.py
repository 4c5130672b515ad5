"""The one clock, so that tests can freeze it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


def now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


@overload
def from_unix(seconds: float) -> datetime: ...
@overload
def from_unix(seconds: None) -> None: ...
@overload
def from_unix(seconds: float | None) -> datetime | None: ...
def from_unix(seconds: float | None) -> datetime | None:
    """The moment of a Unix time; None stays None, and so does one that no calendar has."""
    if seconds is None:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
