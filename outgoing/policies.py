"""The retry policies of subscriptions: when to try again, and after which answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from subscriptions.models import Subscription
from webhooks_project.lib.backoff import PATIENT_SECONDS, QUICK_SECONDS, SCHEDULE_SECONDS
from webhooks_project.lib.statuses import parse_statuses

Policy = Subscription.RetryPolicy

SCHEDULES: Final[dict[str, tuple[int, ...]]] = {
    Policy.STANDARD: SCHEDULE_SECONDS,
    Policy.QUICK: QUICK_SECONDS,
    Policy.PATIENT: PATIENT_SECONDS,
    Policy.NONE: (),
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`schedule`: seconds to each next attempt. `statuses`: those retried; None for every one.

    What is no answer at all, such as a timeout, is always retried while the schedule lasts.
    """

    schedule: tuple[int, ...] = SCHEDULE_SECONDS
    statuses: frozenset[int] | None = None

    def retries(self, status: int | None) -> bool:
        return status is None or self.statuses is None or status in self.statuses


STANDARD: Final = RetryPolicy()


def policy_of(subscription: Subscription) -> RetryPolicy:
    """The policy that the subscription's fields say."""
    if subscription.retry_policy == Policy.STANDARD and not subscription.retry_statuses:
        return STANDARD
    text = subscription.retry_statuses
    return RetryPolicy(
        schedule=tuple(subscription.retry_schedule)
        if subscription.retry_policy == Policy.CUSTOM
        else SCHEDULES[subscription.retry_policy],
        statuses=parse_statuses(text) if text else None,
    )
