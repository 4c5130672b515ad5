"""Whether a backlog shrinks: the least that was due since anything is, and when that was. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.dateparse import parse_datetime


@dataclass(frozen=True, slots=True)
class Low:
    """The least that was due since anything is, and since when it has not been less."""

    count: int
    since: datetime

    @classmethod
    def from_figures(cls, figures: dict[str, object]) -> Low | None:
        """As a HealthCheck keeps it; None where nothing was due."""
        since = parse_datetime(str(figures.get("backlog_low_since") or ""))
        count = figures.get("backlog_low")
        return cls(count, since) if since is not None and isinstance(count, int) else None


def next_low(before: Low | None, due: int, now: datetime) -> Low | None:
    """What follows from how much is due now; None while nothing is."""
    if due <= 0:
        return None
    return Low(due, now) if before is None or due < before.count else before


def stuck_seconds(low: Low | None, age_seconds: float, now: datetime) -> float:
    """For how long a backlog has not shrunk, and has waited.

    Never more than the age of its oldest: a line that always has some in it, none of them for
    long, is no backlog that stays.
    """
    if low is None:
        return 0.0
    return max(0.0, min(age_seconds, (now - low.since).total_seconds()))
