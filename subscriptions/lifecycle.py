"""The life of a subscription: which status may follow which, and what is due when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from subscriptions.models import Subscription

Status = Subscription.Status

MOVES: Final[Mapping[Status, frozenset[Status]]] = {
    Status.DRAFT: frozenset({Status.VERIFYING, Status.ACTIVE, Status.ARCHIVED}),
    Status.VERIFYING: frozenset({Status.ACTIVE, Status.DRAFT, Status.DISABLED, Status.ARCHIVED}),
    # Verified again where its URL was changed and the account asks for proof of ownership.
    Status.ACTIVE: frozenset(
        {Status.VERIFYING, Status.PAUSED, Status.DISABLED, Status.EXPIRED, Status.ARCHIVED}
    ),
    Status.PAUSED: frozenset({Status.ACTIVE, Status.DISABLED, Status.EXPIRED, Status.ARCHIVED}),
    Status.DISABLED: frozenset({Status.ACTIVE, Status.EXPIRED, Status.ARCHIVED}),
    # Verified first where its URL was changed meanwhile and the account asks for proof.
    Status.EXPIRED: frozenset({Status.ACTIVE, Status.VERIFYING, Status.ARCHIVED}),
    Status.ARCHIVED: frozenset(),
}

# Those that come to an end at `expires_at`; a draft is not begun, the others have ended.
EXPIRING: Final = (Status.ACTIVE, Status.PAUSED, Status.DISABLED)
EXPIRY_NOTICE_DAYS: Final = (14, 3, 1)

FAILING_LIMIT: Final = timedelta(days=5)  # one that fails for longer is disabled
FAILING_NOTICE_PERCENT: Final = (50, 70, 90)  # of that time, when people are warned
LAST_WARNING: Final = timedelta(hours=12)  # it has failed for so long after the last warning, too


def allows(before: Status, after: Status) -> bool:
    """Whether the one status may follow the other."""
    return after in MOVES[before]


def expiry_notice(*, expires_at: datetime, now: datetime, noticed_days: int | None) -> int | None:
    """The days before the end that are to be announced now; None where nothing is.

    Each is announced once; of several that are due at once, only the nearest to the end.
    """
    step = passed_notice(expires_at=expires_at, now=now)
    return step if step is not None and (noticed_days is None or step < noticed_days) else None


def passed_notice(*, expires_at: datetime, now: datetime) -> int | None:
    """The last notice whose time has come; None where none has."""
    left = expires_at - now
    due = [days for days in EXPIRY_NOTICE_DAYS if left <= timedelta(days=days)]
    return min(due, default=None)


@dataclass(frozen=True, slots=True)
class Warn:
    """Tell people: so much of the time until it is disabled is over."""

    percent: int


@dataclass(frozen=True, slots=True)
class GiveUpOn:
    """It failed for all of the time: disable it."""


def failing_step(
    *,
    failing_since: datetime,
    last_failed_at: datetime,
    noticed_percent: int | None,
    noticed_at: datetime | None,
) -> Warn | GiveUpOn | None:
    """What follows from failing that long without one success.

    The time runs from the first failure to the last one, so that an endpoint to which nothing was
    sent, because there was nothing or because the hub stood still, is not blamed for that. Where
    failures are so far apart that warnings come late, the end comes later too: `noticed_at` is the
    failure after which people were warned last.
    """
    percent = (last_failed_at - failing_since) / FAILING_LIMIT * 100
    if percent >= 100 and noticed_percent == FAILING_NOTICE_PERCENT[-1]:
        is_over = noticed_at is None or last_failed_at - noticed_at >= LAST_WARNING
        return GiveUpOn() if is_over else None
    step = max((item for item in FAILING_NOTICE_PERCENT if percent >= item), default=0)
    return Warn(step) if step > (noticed_percent or 0) else None
