"""Limits of subscriptions, exact over all pumps."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from django.utils import timezone

from outgoing import deliver as deliver_module
from outgoing import flows
from outgoing.deliver import DeliveryPump
from outgoing.models import Attempt, Delivery, Flow, Retry
from outgoing.services import cancel_delivery, publish, redeliver
from subscriptions.models import Subscription
from tests.factories import make_account, make_subscription
from tests.lib.receiver import Line, Receiver, answer, receiver, status
from tests.outgoing.pump import Turn, deliver, is_settled
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


def publish_numbers(subscription: Subscription, count: int, **facts: Any) -> None:
    for number in range(count):
        publish(account=subscription.account, type="a", data={"n": number, **facts})


def numbers(here: Receiver) -> list[int]:
    return [orjson.loads(arrived.body)["data"]["n"] for arrived in here.arrived]


@contextmanager
def pumps(count: int) -> Iterator[list[DeliveryPump]]:
    made = [DeliveryPump(Turn()) for _ in range(count)]
    yield made
    for pump in made:
        pump._hand_over()
        pump._preparation.close()
        pump._outbound.close()


def step(pump: DeliveryPump) -> None:
    pump._sweep()
    pump._claim()
    pump._turn()


def drive(made: Sequence[DeliveryPump], seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not is_settled():
        for pump in made:
            step(pump)
    for pump in made:
        pump._record() if pump._results else None


def most_in_any(moments: list[float], seconds: float) -> int:
    """The most moments that lie within any period of so many seconds."""
    return max(sum(start <= other < start + seconds for other in moments) for start in moments)


# --- rate -----------------------------------------------------------------------------------------


def test_a_rate_is_never_exceeded_over_two_pumps() -> None:
    with receiver(answer()) as here, pumps(2) as made:
        subscription = make_subscription(url=here.url, rate_limit=10, rate_period="second")
        publish_numbers(subscription, 25)
        drive(made, 10)
    assert Delivery.objects.filter(status="delivered").count() == 25
    started = [
        moment.timestamp() for moment in Attempt.objects.values_list("started_at", flat=True)
    ]
    assert most_in_any(started, 1.0) <= 10
    assert max(started) - min(started) < 4  # and yet it is used


def test_what_was_started_counts_for_the_next_pump_too() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, rate_limit=3, rate_period="hour")
        publish_numbers(subscription, 5)
        deliver(Turn(until=lambda: Attempt.objects.count() >= 3))
        with pumps(1) as made:
            drive(made, 0.6)
    assert Attempt.objects.count() == 3
    assert Delivery.objects.filter(status="pending", lane=Delivery.Lane.LIMITED).count() == 2


def test_after_a_dead_owner_nothing_is_left_of_the_rate() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, rate_limit=3, rate_period="hour")
        publish_numbers(subscription, 1)
        Flow.objects.create(
            subscription=subscription,
            owner=subscription.pk,
            leased_until=clock.now() - timedelta(seconds=1),
        )
        with pumps(1) as made:
            drive(made, 0.6)
    assert not Attempt.objects.exists()


# --- under way at once ----------------------------------------------------------------------------


def test_no_more_are_under_way_than_may_over_two_pumps() -> None:
    under_way: list[int] = []
    open_now = 0

    def slow(line: Line) -> None:
        nonlocal open_now
        while line.read():
            open_now += 1
            under_way.append(open_now)
            time.sleep(0.05)
            open_now -= 1
            line.send(status(200))

    with receiver(slow) as here, pumps(2) as made:
        subscription = make_subscription(url=here.url, max_in_flight=3)
        publish_numbers(subscription, 20)
        drive(made, 10)
    assert Delivery.objects.filter(status="delivered").count() == 20
    assert max(under_way) == 3


def test_what_another_pump_still_has_under_way_counts() -> None:
    def hangs(line: Line) -> None:
        line.read()
        time.sleep(1)

    with receiver(hangs) as here:
        subscription = make_subscription(url=here.url, max_in_flight=2)
        publish_numbers(subscription, 3)
        first = Delivery.objects.order_by("pk").first()
        assert first is not None
        Delivery.objects.filter(pk=first.pk).update(
            status="delivering", lane=None, lease_token=first.pk,
            leased_until=timezone.now() + timedelta(seconds=60),
        )  # fmt: skip
        with pumps(1) as made:
            made[0]._sweep()
            made[0]._claim()
            assert Delivery.objects.filter(status="delivering").count() == 2


# --- order ----------------------------------------------------------------------------------------


def test_each_key_keeps_its_order() -> None:
    def flaky(line: Line) -> None:
        while line.read():
            time.sleep(0.002)
            line.send(status(200))

    with receiver(flaky) as here:
        subscription = make_subscription(url=here.url, ordering="strict", order_key="data.key")
        for number in range(30):
            publish(
                account=subscription.account, type="a", data={"n": number, "key": f"k{number % 3}"}
            )
        deliver()
    by_key: dict[str, list[int]] = {}
    for arrived in here.arrived:
        data = orjson.loads(arrived.body)["data"]
        by_key.setdefault(data["key"], []).append(data["n"])
    assert by_key == {f"k{key}": list(range(key, 30, 3)) for key in range(3)}


def test_without_a_key_there_is_one_order() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, ordering="strict")
        publish_numbers(subscription, 20)
        deliver()
    assert numbers(here) == list(range(20))


def poisoned(line: Line) -> None:
    while (arrived := line.read()) is not None:
        bad = orjson.loads(arrived.body)["data"].get("bad")
        line.send(status(500 if bad else 200))


def test_a_poisoned_event_parks_its_key_and_no_other() -> None:
    with receiver(poisoned) as here:
        subscription = make_subscription(url=here.url, ordering="strict", order_key="data.key")
        account = subscription.account
        publish(account=account, type="a", data={"n": 0, "key": "x", "bad": True})
        for number in range(1, 5):
            publish(account=account, type="a", data={"n": number, "key": "x"})
            publish(account=account, type="a", data={"n": 10 + number, "key": "y"})
        deliver()
        assert numbers(here) == [0, 11, 12, 13, 14] or set(numbers(here)) == {0, 11, 12, 13, 14}
        waiting = Delivery.objects.exclude(status="delivered").order_by("pk")
        assert [row.order_key for row in waiting] == ["x"] * 5
        head = waiting[0]
        assert Retry.objects.get().delivery_id == head.pk
        # Given up by a person, it keeps the others back no more.
        cancel_delivery(delivery=head)
        deliver()
    assert [n for n in numbers(here) if n < 10] == [0, 1, 2, 3, 4]


def test_an_exhausted_one_keeps_its_key_back_until_it_is_redelivered() -> None:
    with receiver(poisoned) as here:
        subscription = make_subscription(
            url=here.url, ordering="strict", order_key="data.key", retry_policy="none"
        )
        account = subscription.account
        bad = publish(account=account, type="a", data={"n": 0, "key": "x", "bad": True})
        publish(account=account, type="a", data={"n": 1, "key": "x"})
        deliver()
        assert numbers(here) == [0]
        assert Delivery.objects.get(event=bad.event).status == "exhausted"
        type(bad.event).objects.filter(pk=bad.event.pk).update(data=b'{"n": 0, "key": "x"}')
        redeliver(deliveries=bad.delivery_ids)
        deliver()
    assert numbers(here) == [0, 0, 1]


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_is_full_or_old_enough() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, batch_size=10, batch_seconds=1)
        began = time.monotonic()
        publish_numbers(subscription, 25)
        deliver()
        seconds = time.monotonic() - began
    sizes = [len(orjson.loads(arrived.body)) for arrived in here.arrived]
    assert sorted(sizes) == [5, 10, 10]
    assert seconds >= 1
    assert Attempt.objects.filter(outcome="succeeded").count() == 25
    items = [item for arrived in here.arrived for item in orjson.loads(arrived.body)]
    assert sorted(item["data"]["n"] for item in items) == list(range(25))
    assert {item["id"] for item in items} == {
        f"evt_{pk.hex}" for pk in Delivery.objects.values_list("event_id", flat=True)
    }


def test_a_failed_batch_is_tried_again_by_its_deliveries() -> None:
    with receiver(answer(status(503))) as here:
        subscription = make_subscription(url=here.url, batch_size=5)
        publish_numbers(subscription, 3)
        deliver()
    assert Retry.objects.count() == 3
    assert len(here.arrived) == 1
    assert here.arrived[0].headers["webhook-id"].startswith("bat_")


def test_a_cloudevents_batch() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(
            url=here.url, batch_size=2, payload_form="cloudevents_structured"
        )
        publish_numbers(subscription, 2)
        deliver()
    (arrived,) = here.arrived
    assert arrived.headers["content-type"] == "application/cloudevents-batch+json"
    assert [item["data"]["n"] for item in orjson.loads(arrived.body)] == [0, 1]


# --- windows --------------------------------------------------------------------------------------


def test_nothing_goes_out_while_the_window_is_closed() -> None:
    now = datetime.now(UTC)
    closed = {
        "from": (now + timedelta(hours=2)).strftime("%H:%M"),
        "until": (now + timedelta(hours=3)).strftime("%H:%M"),
    }
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, delivery_window=closed)
        publish_numbers(subscription, 2)
        with pumps(1) as made:
            drive(made, 0.5)
            assert here.arrived == []
            Subscription.objects.update(
                delivery_window={"from": "00:00", "until": "00:00"}  # the whole day
            )
            drive(made, 5)
    assert sorted(numbers(here)) == [0, 1]


# --- changes and neighbours -----------------------------------------------------------------------


def test_a_subscription_that_loses_its_limits_loses_nothing() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, rate_limit=1, rate_period="hour")
        publish_numbers(subscription, 4)
        deliver(Turn(until=lambda: Attempt.objects.exists()))
        subscription.rate_limit = None
        subscription.save()
        deliver()
    assert sorted(numbers(here)) == [0, 1, 2, 3]


def test_a_subscription_that_gets_limits_goes_by_them_with_what_waits_already() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        publish_numbers(subscription, 4)
        subscription.rate_limit, subscription.rate_period = 2, "hour"
        subscription.save()
        with pumps(1) as made:
            drive(made, 1)
    assert len(here.arrived) == 2
    assert Counter(Delivery.objects.values_list("status", flat=True)) == {
        "delivered": 2,
        "pending": 2,
    }


@pytest.mark.parametrize("is_known", [False, True])
def test_what_stands_behind_in_the_lanes_goes_over_too_and_is_not_claimed(
    is_known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliver_module, "CLAIM_ROWS", 2)
    account = make_account()
    subscription = make_subscription(account, url="https://limited.example/", event_types=("a",))
    make_subscription(account, url="https://other.example/", event_types=("b",))
    publish_numbers(subscription, 6)
    last = Delivery.objects.latest("created_at")
    Delivery.objects.filter(pk=last.pk).update(lane=Delivery.Lane.AGAIN, trigger="retry")
    for number in range(3):
        publish(account=account, type="b", data={"n": number})
    with pumps(1) as (pump,):
        pump._sweep_after = time.monotonic() + 60
        if is_known:
            pump._claim()  # two stand in the pump's line by now
        subscription.rate_limit, subscription.rate_period = 2, "hour"
        subscription.save()
        if is_known:
            pump._notice_changes()
        else:
            pump._claim()
        lanes = Counter(Delivery.objects.values_list("subscription__url", "status", "lane"))
    assert lanes == {
        ("https://limited.example/", "pending", 2): 6,
        ("https://other.example/", "pending", 0): 3,
    }


def test_a_backlog_of_one_with_limits_is_in_nobodys_way() -> None:
    with receiver(answer()) as slow, receiver(answer()) as quick:
        account = make_account()
        limited = make_subscription(
            account, url=slow.url, event_types=("a",), rate_limit=1, rate_period="hour"
        )
        publish_numbers(limited, 1_000)
        make_subscription(account, url=quick.url, event_types=("b",))
        publish(account=account, type="b", data={"n": 0})
        deliver(Turn(until=lambda: bool(quick.arrived)))
    assert len(quick.arrived) == 1


@pytest.mark.parametrize(
    ("state", "ends"), [("paused", "held"), ("disabled", "held"), ("archived", "cancelled")]
)
def test_what_waits_with_limits_follows_the_status(state: str, ends: str) -> None:
    subscription = make_subscription(rate_limit=1, rate_period="hour")
    publish_numbers(subscription, 3)
    Subscription.objects.update(status=state)
    deliver()
    assert set(Delivery.objects.values_list("status", flat=True)) == {ends}


def test_an_idle_flow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "IDLE_SECONDS", 0.0)
    with receiver(answer()) as here:
        publish_numbers(make_subscription(url=here.url, max_in_flight=1), 1)
        with pumps(1) as made:
            drive(made, 5)
            time.sleep(0.01)
            made[0]._flows.sweep()
            assert Flow.objects.get().owner is None
