"""A backlog that may not be claimed is passed once a second, and nothing is lost behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from outgoing.lines import MARKS, Horizon
from outgoing.models import Delivery
from tests.factories import make_delivery, make_event, make_subscription

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)
SECOND = timedelta(seconds=1)
COMMIT = timedelta(seconds=0.25)


def claimed(
    horizon: Horizon, full: list[UUID], now: float, *, first: datetime | None
) -> datetime | None:
    """A claim that leaves these out and finds so; gives where it was begun."""
    since = horizon.since(full, now)
    horizon.note(full, first=first, at=NOW)
    return since


def test_claims_from_the_start_until_something_was_passed() -> None:
    horizon = Horizon()
    assert horizon.since([A], 0) is None
    claimed(horizon, [], 0, first=NOW)
    assert horizon.since([A], 0) is None


def test_goes_on_from_shortly_before_what_was_found_first() -> None:
    horizon = Horizon()
    claimed(horizon, [A], 0, first=NOW - 60 * SECOND)
    assert claimed(horizon, [A], 0.5, first=None) == NOW - 60 * SECOND - COMMIT
    assert horizon.since([A, B], 0.9) == NOW - COMMIT


def test_looks_from_the_start_again_after_a_second() -> None:
    horizon = Horizon()
    claimed(horizon, [A], 0, first=None)
    assert claimed(horizon, [A], 0.9, first=None) == NOW - COMMIT
    assert horizon.since([A], 0.99) == NOW - COMMIT
    assert horizon.since([A], 1) is None


def test_what_begins_at_a_horizon_is_believed_no_longer_than_that() -> None:
    horizon = Horizon()
    claimed(horizon, [A], 0, first=NOW - 9 * SECOND)
    assert claimed(horizon, [A, B], 0.9, first=None) == NOW - 9 * SECOND - COMMIT
    assert horizon.since([A, B], 0.99) == NOW - COMMIT
    assert horizon.since([A, B], 1) is None


def test_looks_from_the_start_once_one_that_was_passed_is_not_full() -> None:
    horizon = Horizon()
    claimed(horizon, [A, B], 0, first=None)
    assert horizon.since([A], 0.1) is None


def test_one_more_that_is_full_for_a_while_does_not_undo_what_is_known() -> None:
    horizon = Horizon()
    claimed(horizon, [A], 0, first=NOW - 9 * SECOND)
    claimed(horizon, [A, B], 0.1, first=NOW)
    assert horizon.since([A, B], 0.2) == NOW - COMMIT
    assert horizon.since([A], 0.3) == NOW - 9 * SECOND - COMMIT
    assert horizon.since([A, B], 0.4) == NOW - COMMIT


def test_keeps_only_the_latest_horizons() -> None:
    horizon = Horizon()
    for number in range(MARKS + 1):
        claimed(horizon, [UUID(int=100 + number)], 0, first=None)
    assert horizon.since([UUID(int=100)], 0) is None
    assert horizon.since([UUID(int=101)], 0) == NOW - COMMIT


@pytest.mark.django_db
def test_a_claim_takes_those_due_since_a_moment() -> None:
    subscription = make_subscription()
    rows = [
        make_delivery(
            make_event(subscription.account), subscription, next_attempt_at=NOW - n * SECOND
        )
        for n in range(4)
    ]
    claims = Delivery.objects.claim(now=NOW, lane=0, limit=10, since=NOW - 2 * SECOND)
    assert [claim.delivery_id for claim in claims] == [rows[2].pk, rows[1].pk, rows[0].pk]
