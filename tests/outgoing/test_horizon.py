"""A backlog that may not be claimed is passed once a second, and nothing is lost behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from outgoing.lines import Horizon
from outgoing.models import Delivery
from tests.factories import make_delivery, make_event, make_subscription

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
A, B = UUID(int=1), UUID(int=2)
SECOND = timedelta(seconds=1)


def test_claims_from_the_start_until_something_was_passed() -> None:
    horizon = Horizon()
    assert horizon.since([A], 0) is None
    horizon.note([], first=NOW, at=NOW, now=0)
    assert horizon.since([A], 0) is None


def test_goes_on_from_a_second_before_what_was_found_first() -> None:
    horizon = Horizon()
    horizon.note([A], first=NOW - 60 * SECOND, at=NOW, now=0)
    assert horizon.since([A], 0.5) == NOW - 61 * SECOND
    horizon.note([A], first=None, at=NOW, now=0.5)
    assert horizon.since([A, B], 0.9) == NOW - SECOND


def test_looks_from_the_start_again_after_a_second() -> None:
    horizon = Horizon()
    horizon.note([A], first=None, at=NOW, now=0)
    horizon.note([A], first=None, at=NOW, now=0.9)
    assert horizon.since([A], 0.99) == NOW - SECOND
    assert horizon.since([A], 1) is None


def test_looks_from_the_start_once_one_that_was_passed_is_not_full() -> None:
    horizon = Horizon()
    horizon.note([A, B], first=None, at=NOW, now=0)
    assert horizon.since([A], 0.1) is None


def test_one_more_that_is_full_does_not_undo_what_is_known() -> None:
    horizon = Horizon()
    horizon.note([A], first=NOW - 9 * SECOND, at=NOW, now=0)
    horizon.note([A, B], first=NOW, at=NOW, now=0.1)
    assert horizon.since([A], 0.2) == NOW - 10 * SECOND


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
