"""The retry policies of subscriptions: when to try again, and after which answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from subscriptions.models import Subscription
from webhooks_project.lib.backoff import (
    JITTER,
    PATIENT_SECONDS,
    QUICK_SECONDS,
    SCHEDULE_SECONDS,
    PlannedAttempt,
    Schedule,
    parse_schedule,
    preview,
)
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
    `max_age_seconds` is how long after a delivery was asked for an attempt may be planned.
    """

    schedule: tuple[int, ...] = SCHEDULE_SECONDS
    jitter: float = JITTER
    statuses: frozenset[int] | None = None
    max_age_seconds: int | None = None

    def retries(self, status: int | None) -> bool:
        return status is None or self.statuses is None or status in self.statuses

    def lasts_until(self, moment: datetime, since: datetime | None) -> bool:
        """Whether an attempt may be at that moment, of a delivery that was asked for at `since`."""
        if self.max_age_seconds is None or since is None:
            return True
        return moment <= since + timedelta(seconds=self.max_age_seconds)

    def planned(self) -> list[PlannedAttempt]:
        """When each attempt would be, if all before it failed at once."""
        return preview(Schedule(self.schedule, self.jitter), max_age_seconds=self.max_age_seconds)


STANDARD: Final = RetryPolicy()


def policy_of(subscription: Subscription) -> RetryPolicy:
    """The policy that the subscription's fields say."""
    text = subscription.retry_statuses
    max_age = subscription.retry_max_age_seconds
    if subscription.retry_policy == Policy.STANDARD and not text and max_age is None:
        return STANDARD
    schedule = (
        parse_schedule(subscription.retry_schedule)
        if subscription.retry_policy == Policy.CUSTOM
        else Schedule(SCHEDULES[subscription.retry_policy])
    )
    return RetryPolicy(
        schedule=schedule.steps,
        jitter=schedule.jitter,
        statuses=parse_statuses(text) if text else None,
        max_age_seconds=max_age,
    )
