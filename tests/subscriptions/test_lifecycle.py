"""Which status may follow which, and what is due when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from subscriptions.lifecycle import (
    FAILING_LIMIT,
    MOVES,
    GiveUpOn,
    Warn,
    allows,
    expiry_notice,
    failing_step,
    passed_notice,
)
from subscriptions.models import Subscription

Status = Subscription.Status
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ALLOWED = {
    "draft": "verifying active archived",
    "verifying": "draft active disabled archived",
    "active": "verifying paused disabled expired archived",
    "paused": "active disabled expired archived",
    "disabled": "active expired archived",
    "expired": "active verifying archived",
    "archived": "",
}


@pytest.mark.parametrize(("before", "after"), list(product(Status, Status)))
def test_one_table_says_which_status_may_follow_which(before: Status, after: Status) -> None:
    assert allows(before, after) == (after in ALLOWED[before].split())


def test_every_status_is_in_the_table() -> None:
    assert set(MOVES) == set(Status)


@pytest.mark.parametrize(
    ("left", "noticed", "step"),
    [
        (timedelta(days=14, seconds=1), None, None),
        (timedelta(days=14), None, 14),
        (timedelta(days=14), 14, None),
        (timedelta(days=3, seconds=1), 14, None),
        (timedelta(days=3), 14, 3),
        (timedelta(days=3), None, 3),
        (timedelta(days=1, seconds=1), 3, None),
        (timedelta(days=1), 3, 1),
        (timedelta(hours=1), 1, None),
        (timedelta(hours=1), None, 1),
        (timedelta(hours=1), 14, 1),
    ],
)
def test_the_end_is_announced_three_times_and_each_time_once(
    left: timedelta, noticed: int | None, step: int | None
) -> None:
    assert expiry_notice(expires_at=NOW + left, now=NOW, noticed_days=noticed) == step


@pytest.mark.parametrize(("days", "step"), [(20, None), (10, 14), (2, 3), (0.5, 1)])
def test_notices_whose_time_has_passed(days: float, step: int | None) -> None:
    assert passed_notice(expires_at=NOW + timedelta(days=days), now=NOW) == step


@pytest.mark.parametrize(
    ("part", "noticed", "step"),
    [
        (0.0, None, None),
        (0.4999, None, None),
        (0.5, None, Warn(50)),
        (0.6, 50, None),
        (0.7, 50, Warn(70)),
        (0.75, None, Warn(70)),
        (0.9, 70, Warn(90)),
        (0.95, 90, None),
        (1.0, 90, GiveUpOn()),
        (3.0, 90, GiveUpOn()),
        (1.0, 70, Warn(90)),
        (9.0, None, Warn(90)),
        (0.4, 0, None),
        (0.5, 0, Warn(50)),
    ],
)
def test_failing_leads_to_three_warnings_and_to_the_end(
    part: float, noticed: int | None, step: object
) -> None:
    found = failing_step(
        failing_since=NOW,
        last_failed_at=NOW + part * FAILING_LIMIT,
        noticed_percent=noticed,
        noticed_at=NOW + 0.9 * FAILING_LIMIT if noticed else None,
    )
    assert found == step


@pytest.mark.parametrize(("hours", "step"), [(0, None), (11.9, None), (12, GiveUpOn())])
def test_the_end_comes_no_sooner_than_12_hours_after_the_last_warning(
    hours: float, step: object
) -> None:
    warned_at = NOW + 2 * FAILING_LIMIT
    found = failing_step(
        failing_since=NOW,
        last_failed_at=warned_at + timedelta(hours=hours),
        noticed_percent=90,
        noticed_at=warned_at,
    )
    assert found == step
