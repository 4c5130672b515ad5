"""The retry policy that a subscription's fields say."""

from __future__ import annotations

from typing import Any

import pytest

from outgoing.policies import STANDARD, RetryPolicy, policy_of
from subscriptions.models import Subscription
from webhooks_project.lib.backoff import PATIENT_SECONDS, QUICK_SECONDS, SCHEDULE_SECONDS


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({}, STANDARD),
        ({"retry_policy": "quick"}, RetryPolicy(schedule=QUICK_SECONDS)),
        ({"retry_policy": "patient"}, RetryPolicy(schedule=PATIENT_SECONDS)),
        ({"retry_policy": "none"}, RetryPolicy(schedule=())),
        (
            {"retry_policy": "custom", "retry_schedule": [60, 600]},
            RetryPolicy(schedule=(60, 600)),
        ),
        (
            {
                "retry_policy": "custom",
                "retry_schedule": {
                    "kind": "exponential", "base": 1, "factor": 10, "attempts": 4, "jitter": 0.1,
                },
            },
            RetryPolicy(schedule=(1, 10, 100), jitter=0.1),
        ),
        (
            {"retry_max_age_seconds": 3_600},
            RetryPolicy(schedule=SCHEDULE_SECONDS, max_age_seconds=3_600),
        ),
        (
            {"retry_policy": "quick", "retry_statuses": "500,503", "retry_max_age_seconds": 9},
            RetryPolicy(
                schedule=QUICK_SECONDS, statuses=frozenset({500, 503}), max_age_seconds=9
            ),
        ),
    ],
)  # fmt: skip
def test_is_what_the_fields_say(fields: dict[str, Any], policy: RetryPolicy) -> None:
    assert policy_of(Subscription(**fields)) == policy


def test_tells_when_its_attempts_would_be() -> None:
    policy = RetryPolicy(schedule=(10, 100), jitter=0.5, max_age_seconds=60)
    assert [
        (item.number, item.earliest_seconds, item.latest_seconds) for item in policy.planned()
    ] == [(1, 0, 0), (2, 5, 15), (3, 55, 60)]
