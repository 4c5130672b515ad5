"""What people do with deliveries: redeliver and cancel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing import services
from outgoing.errors import StateNotAllowed
from outgoing.models import Delivery, Replay, Retry
from outgoing.services import cancel_delivery, redeliver, redeliver_one
from subscriptions.models import Subscription
from tests.factories import make_delivery, make_retry, make_subscription
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
Status = Delivery.Status


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    families: list[str] = []
    monkeypatch.setattr(services, "wake", families.append)
    return families


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.mark.parametrize(
    "status", [Status.DELIVERED, Status.EXHAUSTED, Status.CANCELLED, Status.HELD, Status.PENDING]
)
def test_carries_it_again_from_the_start_of_the_schedule(status: Status) -> None:
    row = make_delivery(status=status, attempt_count=5, next_attempt_at=NOW - timedelta(days=1))
    webhook_id = row.event.webhook_id
    redeliver_one(delivery=row)
    row.refresh_from_db()
    assert (row.status, row.lane, row.trigger) == (Status.PENDING, Delivery.Lane.AGAIN, "redeliver")
    assert (row.attempt_count, row.attempts_before, row.next_attempt_at) == (5, 5, NOW)
    assert row.event.webhook_id == webhook_id
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("delivery.redelivered", str(row.pk))


def test_takes_its_waiting_retry_away() -> None:
    row = make_retry(due_at=NOW + timedelta(hours=5)).delivery
    redeliver_one(delivery=row)
    assert not Retry.objects.exists()
    assert Delivery.objects.get().lane == Delivery.Lane.AGAIN


def test_one_that_a_job_carried_before_is_that_job_s_no_more() -> None:
    replay = Replay.objects.create(since=clock.now(), until=clock.now(), created_at=clock.now())
    row = make_delivery(status=Status.DELIVERED, replay=replay, trigger="replay")
    redeliver_one(delivery=row)
    row.refresh_from_db()
    assert (row.trigger, row.replay_id) == ("redeliver", None)


@pytest.mark.parametrize("status", sorted(Subscription.HOLDING))
def test_of_a_paused_subscription_it_becomes_held(status: str) -> None:
    row = make_delivery(subscription=make_subscription(status=status), status=Status.EXHAUSTED)
    redeliver_one(delivery=row)
    row.refresh_from_db()
    assert (row.status, row.lane) == (Status.HELD, None)


@pytest.mark.parametrize(
    ("status", "subscription_status"),
    [(Status.DELIVERING, "active"), (Status.EXHAUSTED, "archived"), (Status.DELIVERED, "archived")],
)
def test_leaves_alone_what_is_under_way_or_archived(
    status: Status, subscription_status: str
) -> None:
    row = make_delivery(subscription=make_subscription(status=subscription_status), status=status)
    before = Delivery.objects.values().get()
    with pytest.raises(StateNotAllowed):
        redeliver_one(delivery=row)
    assert Delivery.objects.values().get() == before
    assert not AuditEntry.objects.exists()


def test_takes_those_that_it_can_and_says_which() -> None:
    taken = [make_delivery(status=Status.EXHAUSTED) for _ in range(2)]
    left = make_delivery(status=Status.DELIVERING)
    found = redeliver(deliveries=[row.pk for row in [*taken, left]])
    assert sorted(found) == sorted(row.pk for row in taken)


@pytest.mark.django_db(transaction=True)
def test_wakes_the_delivery_queue_where_something_goes_out(woken: list[str]) -> None:
    held = make_delivery(subscription=make_subscription(status="paused"), status=Status.EXHAUSTED)
    redeliver(deliveries=[held.pk])
    assert woken == []
    redeliver(deliveries=[make_delivery(status=Status.EXHAUSTED).pk])
    assert woken == ["delivery"]


# --- cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.PENDING, Status.HELD])
def test_gives_up_what_waits(status: Status) -> None:
    row = make_delivery(status=status)
    cancel_delivery(delivery=row)
    row.refresh_from_db()
    assert (row.status, row.lane) == (Status.CANCELLED, None)
    assert Delivery.objects.lanes_due(NOW) == []
    assert AuditEntry.objects.get().action == "delivery.cancelled"


def test_gives_up_what_waits_for_its_retry() -> None:
    row = make_retry().delivery
    cancel_delivery(delivery=row)
    assert not Retry.objects.exists()
    assert Delivery.objects.get().status == Status.CANCELLED


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.CANCELLED, Status.DELIVERING])
def test_cancels_nothing_that_ended_or_is_under_way(status: Status) -> None:
    row = make_delivery(status=status)
    with pytest.raises(StateNotAllowed):
        cancel_delivery(delivery=row)
    assert Delivery.objects.get().status == status
    assert not AuditEntry.objects.exists()
