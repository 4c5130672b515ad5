"""What waits in an order behind others, and all that can bring its turn."""

from __future__ import annotations

import time
from typing import Any

import pytest
from django.db import connection

from outgoing import flows
from outgoing.models import Delivery, Flow
from outgoing.services import publish, redeliver
from subscriptions.models import Subscription
from tests.factories import make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import Turn, deliver, is_settled
from tests.outgoing.test_flows import drive, numbers, publish_numbers, pumps

pytestmark = pytest.mark.django_db


def one_exhausted_and_three_parked(url: str) -> Subscription:
    subscription = make_subscription(url=url, ordering="strict", order_key="data.key")
    publish_numbers(subscription, 4, key="x")
    Delivery.objects.filter(pk=Delivery.objects.order_by("pk")[0].pk).update(
        status="exhausted", lane=None
    )
    Delivery.objects.filter(status="pending").update(lane=None)
    return subscription


@pytest.mark.parametrize(
    "changes", [{"ordering": "none"}, {"ordering": "none", "max_in_flight": 2}], ids=str
)
@pytest.mark.parametrize("is_owned", [True, False])
def test_without_an_order_nothing_stays_parked(changes: dict[str, Any], is_owned: bool) -> None:
    with receiver(answer()) as here, pumps(1) as made:
        subscription = one_exhausted_and_three_parked(here.url)
        if is_owned:
            publish_numbers(subscription, 1, key="y")
            drive(made, 5)
            here.arrived.clear()
        for name, value in changes.items():
            setattr(subscription, name, value)
        subscription.save()
        for flow in made[0]._flows._own.values():
            flow.unpark_after = 0.0
        made[0]._endpoints.reload([subscription.pk])
        made[0]._sweep_after = made[0]._flows._search_all_after = 0.0
        made[0]._sweep()
        made[0]._claim()
        drive(made, 10)
    assert sorted(numbers(here)) == [1, 2, 3]


@pytest.mark.parametrize(
    ("state", "ends"), [("paused", "held"), ("disabled", "held"), ("archived", "cancelled")]
)
def test_what_is_parked_follows_the_status(state: str, ends: str) -> None:
    subscription = one_exhausted_and_three_parked("http://127.0.0.1:9/")
    Subscription.objects.filter(pk=subscription.pk).update(status=state)
    ended = Delivery.objects.filter(status=ends)
    deliver(Turn(until=lambda: ended.count() == 3))
    assert ended.count() == 3


def test_what_was_held_keeps_its_order_when_it_goes_on() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, ordering="strict", order_key="data.key")
        publish_numbers(subscription, 6, key="x")
        Subscription.objects.update(status="paused")
        deliver()
        assert set(Delivery.objects.values_list("status", flat=True)) == {"held"}
        Subscription.objects.update(status="active")
        deliver(Turn(until=lambda: Delivery.objects.filter(status="delivered").count() == 6))
    assert numbers(here) == list(range(6))


def test_one_whose_predecessors_were_deleted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "UNPARK_SECONDS", 0.0)
    with receiver(answer()) as here:
        one_exhausted_and_three_parked(here.url)
        Delivery.objects.filter(status="exhausted").delete()
        deliver(Turn(until=lambda: Delivery.objects.filter(status="delivered").count() == 3))
    assert numbers(here) == [1, 2, 3]


def test_again_ones_of_a_subscription_with_limits_stand_in_its_own_line() -> None:
    subscription = make_subscription(max_in_flight=1)
    publish_numbers(subscription, 2)
    Delivery.objects.update(status="delivered", lane=None)
    taken = redeliver(deliveries=[Delivery.objects.order_by("pk")[0].pk])
    assert Delivery.objects.get(pk=taken[0]).lane == Delivery.Lane.LIMITED
    Delivery.objects.filter(status="delivered").update(status="held")
    Delivery.objects.restore_held(Delivery.objects.all()[0].created_at, 10)
    assert set(Delivery.objects.values_list("lane", flat=True)) == {Delivery.Lane.LIMITED}


def rows_behind(subscription: Subscription, count: int) -> None:
    """Many deliveries of one order key, all parked but the first, which was delivered."""
    event = publish(account=subscription.account, type="a", data={"key": "x"}).event
    Delivery.objects.update(status="delivered", lane=None)
    events = type(event).objects.bulk_create(
        [
            type(event)(
                account_id=event.account_id, type="a", data=b"{}",
                occurred_at=event.occurred_at, created_at=event.created_at,
            )
            for _ in range(count)
        ]
    )  # fmt: skip
    Delivery.objects.bulk_create(
        [
            Delivery(
                account_id=event.account_id, event=one, subscription=subscription, lane=None,
                order_key="x", next_attempt_at=event.created_at, created_at=event.created_at,
            )
            for one in events
        ]
    )  # fmt: skip


def seconds_to_wake(subscription: Subscription) -> list[float]:
    """The least of some times to put the next in line: of all parked, and after one that ended."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    done = Delivery.objects.get(status="delivered")
    least = []
    for wake in (
        lambda: Delivery.objects.unpark(subscription.pk),
        lambda: Delivery.objects.unpark_after([done.pk]),
    ):
        seconds = []
        for _ in range(5):
            Delivery.objects.filter(lane=2).update(lane=None)
            started = time.perf_counter()
            assert wake() == 1
            seconds.append(time.perf_counter() - started)
        least.append(min(seconds))
    return least


def test_waking_the_next_takes_no_longer_with_thousands_behind_it() -> None:
    subscription = make_subscription(ordering="strict", order_key="data.key")
    rows_behind(subscription, 20)
    few = seconds_to_wake(subscription)
    Delivery.objects.all().delete()
    rows_behind(subscription, 5_000)
    many = seconds_to_wake(subscription)
    # To walk them all takes a hundred times as long.
    assert [one < 10 * other for one, other in zip(many, few, strict=True)] == [True, True]
    first = Delivery.objects.filter(status="pending").order_by("pk")[0]
    assert Delivery.objects.get(lane=2) == first


def test_a_flow_that_goes_on_waiting_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "IDLE_SECONDS", 0.6)
    with receiver(answer()) as here, pumps(1) as made:
        publish_numbers(make_subscription(url=here.url, rate_limit=1, rate_period="hour"), 2)
        drive(made, 1.5)
        made[0]._flows.sweep()
        assert Flow.objects.get().owner is not None
        assert not is_settled()
