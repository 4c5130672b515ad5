"""Every cancelled delivery is counted once, whoever cancelled it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from monitoring.models import Activity
from outgoing.cancelled import note_cancelled
from outgoing.dead_letters import discard_dead_letter
from outgoing.models import Delivery
from outgoing.publishing import publish
from outgoing.resuming import resume_subscription
from outgoing.services import cancel_delivery, cancel_event
from subscriptions.models import Subscription
from tests.factories import make_delivery, make_event, make_subscription
from tests.outgoing.pump import deliver
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db(transaction=True)


def by_a_person(subscription: Subscription) -> None:
    cancel_delivery(delivery=make_delivery(make_event(subscription.account), subscription))


def as_a_dead_letter(subscription: Subscription) -> None:
    event = make_event(subscription.account)
    delivery = make_delivery(
        event, subscription, status="exhausted", lane=None, exhausted_at=clock.now()
    )
    discard_dead_letter(delivery=delivery, reason="not needed")


def with_its_event(subscription: Subscription) -> None:
    later = clock.now() + timedelta(hours=1)
    found = publish(account=subscription.account, type="a", data={}, deliver_at=later)
    cancel_event(event=found.event)


def as_too_old_on_resume(subscription: Subscription) -> None:
    Subscription.objects.update(status="paused")
    make_delivery(make_event(subscription.account), subscription, status="held", lane=None)
    subscription.refresh_from_db()
    resume_subscription(
        subscription=subscription, skip_older_than=clock.now() + timedelta(minutes=1)
    )


def in_line_of_an_archived_one(subscription: Subscription) -> None:
    make_delivery(make_event(subscription.account), subscription)
    Subscription.objects.update(status="archived")
    deliver()


def held_for_an_archived_one(subscription: Subscription) -> None:
    make_delivery(make_event(subscription.account), subscription, status="held", lane=None)
    Subscription.objects.update(status="archived")
    deliver()


def in_the_flow_of_an_archived_one(subscription: Subscription) -> None:
    Subscription.objects.update(rate_limit=1, rate_period="hour", is_limited=True)
    publish(account=subscription.account, type="a", data={})
    Subscription.objects.update(status="archived")
    deliver()


def with_nothing_to_send(subscription: Subscription) -> None:
    Subscription.objects.update(transformation="data.absent")
    publish(account=subscription.account, type="a", data={})
    deliver()


@pytest.mark.parametrize(
    "cancel",
    [
        by_a_person,
        as_a_dead_letter,
        with_its_event,
        as_too_old_on_resume,
        in_line_of_an_archived_one,
        held_for_an_archived_one,
        in_the_flow_of_an_archived_one,
        with_nothing_to_send,
    ],
)
def test_a_cancelled_delivery_is_counted_once(cancel: Callable[[Subscription], None]) -> None:
    subscription = make_subscription()
    cancel(subscription)
    assert Delivery.objects.get().status == "cancelled"
    line = Activity.objects.get(kind="delivery.cancelled")
    assert (line.account, line.object_id, line.count, line.text) == (
        subscription.account, str(subscription.pk), 1, "Deliveries were cancelled.",
    )  # fmt: skip


def test_many_of_one_transaction_are_one_line() -> None:
    subscription = make_subscription(status="paused")
    for _ in range(3):
        make_delivery(make_event(subscription.account), subscription, status="held", lane=None)
    later = clock.now() + timedelta(minutes=1)
    resume_subscription(subscription=subscription, skip_older_than=later)
    line = Activity.objects.get(kind="delivery.cancelled")
    assert (line.count, line.text) == (3, "Deliveries were cancelled.")


def test_the_line_of_an_hour_says_no_number_but_its_count() -> None:
    subscription = make_subscription()
    for count in (300, 1):
        note_cancelled(
            account_id=subscription.account_id, subscription_id=subscription.pk, count=count
        )
    line = Activity.objects.get(kind="delivery.cancelled")
    assert (line.count, line.text) == (301, "Deliveries were cancelled.")
