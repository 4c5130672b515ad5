"""The hub's own events: who hears them, who does not, and whom people hear from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from monitoring.models import Activity, Notification
from outgoing.errors import EventTypeReserved
from outgoing.judge import next_step
from outgoing.models import Delivery, Event
from outgoing.record import Result, record_results
from outgoing.services import publish
from subscriptions.models import EventType, Subscription
from subscriptions.operational import OperationalType, is_operational
from subscriptions.services import set_status
from tests.factories import (
    make_account_with_operator,
    make_delivery,
    make_event,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.lib.outbound import Response

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clock")]

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Status = Subscription.Status


@pytest.fixture
def account() -> Account:
    return make_account_with_operator()


@pytest.fixture
def ops(account: Account) -> Subscription:
    return make_subscription(account, name="Ops", event_types=("subscription.*", "delivery.*"))


@pytest.fixture
def shop(account: Account) -> Subscription:
    return make_subscription(account, name="Shop", event_types=("*",))


def exhaust(*deliveries: Delivery) -> None:
    Delivery.objects.filter(pk__in=[row.pk for row in deliveries]).update(
        attempt_count=7, trigger="retry", next_attempt_at=NOW
    )
    claims = Delivery.objects.claim(now=NOW, lane=Delivery.Lane.FIRST, limit=100)
    response = Response(status=500)
    results = [
        Result(
            claim=claim,
            account_id=Delivery.objects.get(pk=claim.delivery_id).account_id,
            correlation_id="",
            response=response,
            step=next_step(response, number=8, now=NOW),
            started_at=NOW,
            request_headers={},
            request_bytes=1,
        )
        for claim in claims
    ]
    assert record_results(results, worker="w") == len(deliveries)


def own_events() -> list[Event]:
    return [event for event in Event.objects.order_by("pk") if is_operational(event.type)]


# --- exhausted ------------------------------------------------------------------------------------


def test_a_delivery_given_up_is_an_event_for_those_who_hear_of_it(
    ops: Subscription, shop: Subscription
) -> None:
    delivery = make_delivery(make_event(shop.account, type="order.made"), shop)
    exhaust(delivery)
    (event,) = own_events()
    assert (event.type, event.account_id) == ("delivery.exhausted", shop.account_id)
    assert event.payload == {
        "delivery": str(delivery.pk),
        "event": delivery.event.webhook_id,
        "event_type": "order.made",
        "subscription": str(shop.pk),
        "cause": "status_5xx",
        "status_code": 500,
        "attempt_count": 8,
    }
    assert event.causation_id == f"subscription:{shop.pk}"
    assert [row.subscription for row in event.deliveries.all()] == [ops]


def test_the_hub_s_own_events_given_up_make_no_more_of_them(
    account: Account, ops: Subscription
) -> None:
    make_subscription(account, event_types=("delivery.exhausted",))
    exhaust(make_delivery(make_event(account, type="delivery.exhausted"), ops))
    assert [event.type for event in own_events()] == ["delivery.exhausted"]
    assert not Notification.objects.exists()


def test_a_subscription_does_not_hear_of_itself(ops: Subscription) -> None:
    exhaust(make_delivery(make_event(ops.account, type="order.made"), ops))
    (event,) = own_events()
    assert not event.deliveries.exists()
    assert event.not_matched == [{"subscription": str(ops.pk), "reason": "event_about_itself"}]


def test_where_nobody_hears_of_it_there_is_no_event(shop: Subscription) -> None:
    make_subscription(event_types=("delivery.exhausted",))  # another account's
    exhaust(make_delivery(make_event(shop.account), shop))
    assert own_events() == []


def test_people_hear_of_a_subscription_s_dead_letters_once_an_hour(
    shop: Subscription, clock: Any
) -> None:
    exhaust(*(make_delivery(make_event(shop.account), shop) for _ in range(3)))
    exhaust(make_delivery(make_event(shop.account), shop))
    row = Notification.objects.get()
    assert (row.kind, row.recipient) == ("delivery.exhausted", "operator@example.com")
    assert (row.title, row.object_id) == ("Deliveries to Shop are given up", str(shop.pk))
    clock.move_to(NOW + timedelta(minutes=59))
    exhaust(make_delivery(make_event(shop.account), shop))
    assert Notification.objects.count() == 1
    clock.move_to(NOW + timedelta(minutes=61))
    exhaust(make_delivery(make_event(shop.account), shop))
    assert Notification.objects.count() == 2


def test_where_nobody_has_an_address_that_is_noted_as_seldom() -> None:
    shop = make_subscription()
    for _ in range(3):
        exhaust(make_delivery(make_event(shop.account), shop))
    assert Activity.objects.filter(kind="notification.unaddressed").count() == 1


def test_an_account_s_own_schema_for_it_is_not_asked(ops: Subscription, shop: Subscription) -> None:
    row = EventType.objects.create(account=shop.account, name="delivery.exhausted")
    row.schemas.create(version=1, schema={"required": ["nonsense"]})
    delivery = make_delivery(make_event(shop.account), shop)
    exhaust(delivery)
    delivery.refresh_from_db()
    assert delivery.status == "exhausted"
    assert [event.type for event in own_events()] == ["delivery.exhausted"]


# --- disabled -------------------------------------------------------------------------------------


def test_410_is_an_event_and_told_to_people(ops: Subscription, shop: Subscription) -> None:
    set_status(subscription=shop, status=Status.DISABLED, reason="the endpoint answered 410 Gone")
    (event,) = own_events()
    assert event.type == "subscription.disabled"
    assert event.payload == {
        "subscription": str(shop.pk),
        "name": "Shop",
        "status": "disabled",
        "status_reason": "the endpoint answered 410 Gone",
        "trigger": "automatic",
    }
    assert [row.subscription for row in event.deliveries.all()] == [ops]
    assert Notification.objects.get().title == "Shop is disabled"


def test_disabled_by_a_person_it_is_an_event_alone(ops: Subscription, shop: Subscription) -> None:
    token = current_actor.set(Actor("user", "1", "ann"))
    try:
        set_status(subscription=shop, status=Status.DISABLED)
    finally:
        current_actor.reset(token)
    (event,) = own_events()
    assert event.payload["trigger"] == "manual"
    assert not Notification.objects.exists()


@pytest.mark.parametrize("status", [Status.PAUSED, Status.ARCHIVED, Status.EXPIRED])
def test_other_changes_are_no_events(ops: Subscription, shop: Subscription, status: Status) -> None:
    set_status(subscription=shop, status=status)
    assert own_events() == []


def test_a_change_that_is_rolled_back_is_no_event(ops: Subscription, shop: Subscription) -> None:
    with transaction.atomic():
        set_status(subscription=shop, status=Status.DISABLED)
        transaction.set_rollback(True)
    assert own_events() == []
    assert not Notification.objects.exists()


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(OperationalType))
def test_nobody_else_publishes_them(account: Account, name: str) -> None:
    with pytest.raises(EventTypeReserved):
        publish(account=account, type=name, data={})
    assert not Event.objects.exists()


@pytest.mark.parametrize(
    ("pattern", "hears"),
    [
        ("*", False),
        ("subscription.*", True),
        ("subscription.disabled", True),
        ("subscription.failing", False),
    ],
)
def test_everything_does_not_include_them(
    account: Account, ops: Subscription, pattern: str, hears: bool
) -> None:
    listener = make_subscription(account, event_types=(pattern,))
    set_status(subscription=make_subscription(account), status=Status.DISABLED)
    assert listener.deliveries.exists() is hears
