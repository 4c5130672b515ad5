"""What an answer means for a delivery. Pure: facts in, a decision out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from outgoing.models import Attempt
from outgoing.policies import STANDARD, RetryPolicy
from webhooks_project.lib.backoff import delay_seconds, retry_after_seconds
from webhooks_project.lib.outbound import Failure, Response

OVERLOADED_STATUSES: Final = frozenset({429, 503})
GONE: Final = 410
_TIMEOUTS: Final = frozenset(
    {
        Failure.TIMEOUT_DNS,
        Failure.TIMEOUT_CONNECT,
        Failure.TIMEOUT_TLS,
        Failure.TIMEOUT_RESPONSE,
    }
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Not delivered; the next attempt is due at `due_at`."""

    cause: Attempt.Cause
    due_at: datetime


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not delivered, and there is no next attempt: the schedule or the age is at its end."""

    cause: Attempt.Cause


@dataclass(frozen=True, slots=True)
class Disable:
    """The receiver said that the endpoint is gone for good: hold everything for it."""

    cause: Attempt.Cause


Step = Delivered | RetryAt | GiveUp | Disable


def next_step(
    response: Response,
    *,
    number: int,
    now: datetime,
    since: datetime | None = None,
    policy: RetryPolicy = STANDARD,
) -> Step:
    """Decide after attempt `number`, counted from when the delivery was last asked for (from 1).

    `since` is when that was; None where the policy has no maximum age.

    Only 200 to 299 after a complete response head is success; a redirect is a failure. 410
    disables. 429, 503 and timeouts wait a minute at least, and Retry-After is honoured. A status
    that the policy does not retry ends it, and so does an age at which the policy gives up.
    """
    cause = cause_of(response)
    if cause is None:
        return Delivered()
    if response.status == GONE:
        return Disable(cause)
    if not policy.retries(response.status):
        return GiveUp(cause)
    delay = delay_seconds(
        number,
        schedule=policy.schedule,
        jitter=policy.jitter,
        overloaded=response.status in OVERLOADED_STATUSES or response.failure in _TIMEOUTS,
        retry_after_seconds=retry_after_seconds(response.headers["retry-after"], now=now)
        if "retry-after" in response.headers
        else None,
    )
    if delay is None:
        return GiveUp(cause)
    due_at = now + timedelta(seconds=delay)
    return RetryAt(cause, due_at) if policy.lasts_until(due_at, since) else GiveUp(cause)


def cause_of(response: Response) -> Attempt.Cause | None:
    """Why the attempt failed; None where it did not."""
    if response.failure is not None:
        return Attempt.Cause(response.failure.value)
    status = response.status or 0
    if 200 <= status <= 299:
        return None
    return _STATUS_CAUSES.get(status // 100, Attempt.Cause.STATUS_OTHER)


_STATUS_CAUSES: Final = {
    1: Attempt.Cause.STATUS_1XX,
    3: Attempt.Cause.STATUS_3XX,
    4: Attempt.Cause.STATUS_4XX,
    5: Attempt.Cause.STATUS_5XX,
}
