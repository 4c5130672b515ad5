"""Subscriptions that end: announced, ended, renewed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from monitoring.models import Notification
from outgoing.expiry import watch_expiry
from outgoing.models import Delivery, Event
from outgoing.services import publish
from subscriptions.models import Subscription
from subscriptions.renewal import renew_subscription
from tests.factories import (
    make_account_with_operator,
    make_delivery,
    make_event,
    make_subscription,
)
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

END = datetime(2026, 3, 31, tzinfo=UTC)
DAY = timedelta(days=1)
Status = Subscription.Status


@pytest.fixture
def account() -> Account:
    account = make_account_with_operator()
    make_subscription(account, name="Ops", event_types=("subscription.expiring",))
    return account


@pytest.fixture
def row(account: Account) -> Subscription:
    return make_subscription(account, name="Shop", event_types=("order.*",), expires_at=END)


def hours_before(first_day: int) -> Iterator[datetime]:
    for hour in range(first_day * 24, -24, -1):
        with time_machine.travel(END - timedelta(hours=hour), tick=False):
            yield END - timedelta(hours=hour)


def test_it_is_announced_three_times_and_then_ends(row: Subscription) -> None:
    ended_at = None
    for now in hours_before(20):
        watch_expiry()
        row.refresh_from_db()
        if row.status == Status.EXPIRED and ended_at is None:
            ended_at = now
    assert ended_at == END
    events = Event.objects.order_by("created_at")
    assert [(e.type, e.payload["days"], END - e.created_at) for e in events] == [
        ("subscription.expiring", 14, 14 * DAY),
        ("subscription.expiring", 3, 3 * DAY),
        ("subscription.expiring", 1, DAY),
    ]
    assert [item.title for item in Notification.objects.order_by("created_at")] == [
        "Shop ends in 14 days",
        "Shop ends in 3 days",
        "Shop ends in 1 day",
        "Shop has ended",
    ]
    assert row.status_reason == "it ended on 2026-03-31 00:00 UTC"


def test_an_expired_one_hears_nothing_and_what_was_held_stays(row: Subscription) -> None:
    held = make_delivery(make_event(row.account), row, status="held")
    with time_machine.travel(END, tick=False):
        assert watch_expiry() == 1
        event = publish(account=row.account, type="order.made", data={}).event
        Delivery.objects.restore_held(END, 10)
    assert event.not_matched == [{"subscription": str(row.pk), "reason": "subscription_expired"}]
    assert Delivery.objects.get() == held
    assert Delivery.objects.get().status == "held"


def test_renewed_it_goes_on_and_what_was_held_goes_out(row: Subscription) -> None:
    make_delivery(make_event(row.account), row, status="held")
    with time_machine.travel(END + DAY, tick=False):
        watch_expiry()
        renew_subscription(subscription=row, days=60)
        assert watch_expiry() == 0
        Delivery.objects.restore_held(END + DAY, 10)
    row.refresh_from_db()
    assert (row.status, row.expires_at) == (Status.ACTIVE, END + 61 * DAY)
    assert Delivery.objects.get().status == "pending"


@pytest.mark.parametrize("status", [Status.PAUSED, Status.DISABLED])
def test_what_is_held_back_ends_too(row: Subscription, status: Status) -> None:
    Subscription.objects.filter(pk=row.pk).update(status=status)
    with time_machine.travel(END, tick=False):
        watch_expiry()
    row.refresh_from_db()
    assert row.status == Status.EXPIRED


@pytest.mark.parametrize("status", [Status.DRAFT, Status.VERIFYING, Status.ARCHIVED])
def test_what_is_not_in_use_does_not_end(row: Subscription, status: Status) -> None:
    Subscription.objects.filter(pk=row.pk).update(status=status)
    with time_machine.travel(END, tick=False):
        assert watch_expiry() == 0
    row.refresh_from_db()
    assert row.status == status
    assert not Notification.objects.exists()


def test_one_without_an_end_is_left_alone(account: Account) -> None:
    make_subscription(account)
    assert watch_expiry() == 0
