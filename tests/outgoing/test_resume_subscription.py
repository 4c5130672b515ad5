"""Resuming, with or without what was held."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing.models import Delivery, Retry
from outgoing.resuming import resume_subscription
from subscriptions.errors import StateNotAllowed
from subscriptions.models import Subscription
from tests.factories import make_delivery, make_event, make_retry, make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import deliver

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)
Status = Subscription.Status


def held(row: Subscription, age: timedelta, **fields: Any) -> Delivery:
    moment = NOW - age
    return make_delivery(
        make_event(row.account),
        row,
        **{"status": "held", "created_at": moment, "next_attempt_at": moment} | fields,
    )


def states() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("created_at").values_list("status", "last_cause"))


@pytest.mark.django_db(transaction=True)
def test_what_was_held_goes_out_the_oldest_first() -> None:
    with receiver(answer()) as there:
        row = make_subscription(url=there.url, status=Status.PAUSED, max_in_flight=1)
        made = [held(row, age * HOUR) for age in (1, 3, 2)]
        resumed = resume_subscription(subscription=row)
        assert (resumed.subscription.status, resumed.skipped_count) == (Status.ACTIVE, 0)
        Delivery.objects.restore_held(NOW, 10)
        deliver()
    order = [made[1], made[2], made[0]]
    assert [item.headers["webhook-id"] for item in there.arrived] == [
        delivery.event.webhook_id for delivery in order
    ]


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("status", [Status.PAUSED, Status.DISABLED])
def test_what_is_older_than_said_is_skipped_counted_and_audited(status: Status) -> None:
    row = make_subscription(status=status)
    for age in (4, 3, 2, 1):
        held(row, age * HOUR)
    resumed = resume_subscription(subscription=row, skip_older_than=NOW - 2 * HOUR)
    assert resumed.skipped_count == 2
    skipped, kept = ("cancelled", "skipped_on_resume"), ("held", "")
    assert states() == [skipped, skipped, kept, kept]
    entry = AuditEntry.objects.get(action="subscription.deliveries_skipped")
    assert orjson.loads(entry.after) == {
        "older_than": (NOW - 2 * HOUR).isoformat(), "count": 2,
    }  # fmt: skip
    assert Subscription.objects.get().status == Status.ACTIVE


@pytest.mark.django_db
@time_machine.travel(NOW, tick=False)
def test_what_waits_and_was_not_yet_seen_to_be_held_is_skipped_too() -> None:
    row = make_subscription(status=Status.PAUSED)
    held(row, 3 * HOUR, status="pending")
    make_retry(held(row, 2 * HOUR, status="pending", lane=None, attempt_count=1, trigger="retry"))
    held(row, HOUR, status="delivering")
    held(row, HOUR / 2, status="delivered")
    held(make_subscription(status=Status.PAUSED), HOUR / 4)
    assert resume_subscription(subscription=row, skip_older_than=NOW).skipped_count == 2
    assert [status for status, _ in states()] == [
        "cancelled", "cancelled", "delivering", "delivered", "held",
    ]  # fmt: skip
    assert not Retry.objects.exists()
    assert not Delivery.objects.filter(lane__isnull=False).exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "status", [Status.DRAFT, Status.VERIFYING, Status.EXPIRED, Status.ARCHIVED]
)
def test_only_what_is_paused_or_disabled_is_resumed(status: Status) -> None:
    row = make_subscription(status=status)
    held(row, HOUR)
    with pytest.raises(StateNotAllowed):
        resume_subscription(subscription=row, skip_older_than=NOW)
    assert (Subscription.objects.get().status, states()) == (status, [("held", "")])


@pytest.mark.django_db
def test_an_active_one_stays_as_it_is() -> None:
    row = make_subscription()
    held(row, HOUR)
    assert resume_subscription(subscription=row, skip_older_than=NOW).skipped_count == 0
    assert states() == [("held", "")]
    assert not AuditEntry.objects.exists()
