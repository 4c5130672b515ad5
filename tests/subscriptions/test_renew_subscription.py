"""A new end for a subscription."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine

from monitoring.models import AuditEntry
from subscriptions.errors import ExpiryNotAcceptable, StateNotAllowed
from subscriptions.models import Subscription
from subscriptions.renewal import renew_subscription
from subscriptions.services import set_status
from tests.factories import make_subscription

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Status = Subscription.Status


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        (None, {"days": 7}, NOW + timedelta(days=7)),
        (NOW + timedelta(days=2), {"days": 30}, NOW + timedelta(days=32)),
        (NOW - timedelta(days=2), {"days": 30}, NOW + timedelta(days=30)),
        (NOW, {"expires_at": NOW + timedelta(hours=1)}, NOW + timedelta(hours=1)),
        (NOW + timedelta(days=1), {"expires_at": None}, None),
    ],
)
def test_the_end_is_a_moment_or_so_many_days_on_or_none(
    before: datetime | None, given: dict[str, Any], after: datetime | None
) -> None:
    renew_subscription(subscription=make_subscription(expires_at=before), **given)
    assert Subscription.objects.get().expires_at == after
    entry = AuditEntry.objects.get()
    assert entry.action == "subscription.renewed"
    assert orjson.loads(entry.after) == {"expires_at": after.isoformat() if after else None}


def test_an_expired_one_is_active_again_and_announced_anew() -> None:
    row = make_subscription(
        status=Status.EXPIRED, expires_at=NOW - timedelta(days=9), expiry_noticed_days=1
    )
    renew_subscription(subscription=row, days=60)
    row.refresh_from_db()
    assert (row.status, row.status_reason, row.expiry_noticed_days) == (
        Status.ACTIVE, "renewed", None,
    )  # fmt: skip


@pytest.mark.parametrize("status", [Status.PAUSED, Status.DISABLED, Status.DRAFT])
def test_others_keep_their_status(status: Status) -> None:
    renew_subscription(subscription=make_subscription(status=status), days=1)
    assert Subscription.objects.get().status == status


def test_an_end_that_is_over_is_refused() -> None:
    row = make_subscription(status=Status.EXPIRED, expires_at=NOW - timedelta(days=1))
    with pytest.raises(ExpiryNotAcceptable):
        renew_subscription(subscription=row, expires_at=NOW)
    row.refresh_from_db()
    assert (row.status, row.expires_at) == (Status.EXPIRED, NOW - timedelta(days=1))
    assert not AuditEntry.objects.exists()


def test_an_archived_one_is_not_renewed() -> None:
    with pytest.raises(StateNotAllowed):
        renew_subscription(subscription=make_subscription(status=Status.ARCHIVED), days=1)
    assert Subscription.objects.get().expires_at is None


def test_an_expired_one_is_active_only_by_renewal() -> None:
    row = make_subscription(status=Status.EXPIRED, expires_at=NOW)
    with pytest.raises(StateNotAllowed, match="renew it"):
        set_status(subscription=row, status=Status.ACTIVE)
    assert Subscription.objects.get().status == Status.EXPIRED
