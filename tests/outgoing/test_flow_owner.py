"""A pump that no longer owns what it holds starts none of it."""

from __future__ import annotations

import threading
import time

import orjson
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from outgoing import preparing, shaping
from outgoing.claims import Claims
from outgoing.models import Attempt, Delivery, Flow
from outgoing.services import publish
from subscriptions.models import Subscription
from tests.factories import make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import deliver
from tests.outgoing.test_flows import drive, publish_numbers, pumps, step
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


def test_a_lost_flow_starts_nothing_and_gives_back_what_it_holds() -> None:
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(url=here.url, max_in_flight=5)
        publish_numbers(subscription, 3)
        made[0]._sweep()
        made[0]._claim()
        Flow.objects.update(owner=subscription.pk)
        made[0]._sweep_after = 0.0
        made[0]._flows.renew()
        made[0]._turn()
        assert not Attempt.objects.exists()
        made[0]._sweep_after = 0.0
        made[0]._sweep()
        assert Delivery.objects.filter(status="pending", lane=2).count() == 3


def test_after_its_lease_an_owner_starts_nothing() -> None:
    with receiver(answer()) as here, pumps(1) as made:
        publish_numbers(make_subscription(url=here.url, rate_limit=5), 3)
        made[0]._sweep()
        made[0]._claim()
        for flow in made[0]._flows._own.values():
            flow.held_until = time.monotonic()  # as after it was stopped and went on
        made[0]._turn()
        assert here.arrived == []


def test_what_was_being_shaped_is_not_sent_after_a_freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Event(), threading.Event()
    evaluated = shaping._evaluated

    def slow(works):  # type: ignore[no-untyped-def]
        begun.set()
        go_on.wait(10)
        return evaluated(works)

    monkeypatch.setattr(shaping, "_evaluated", slow)
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(url=here.url, transformation="data")
        publish_numbers(subscription, 1)
        made[0]._sweep()
        made[0]._claim()
        assert begun.wait(10)
        made[0]._give_back_all()
        assert Delivery.objects.get().status == "pending"
        made[0]._claim_after = time.monotonic() + 60
        go_on.set()
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            made[0]._turn()
        assert here.arrived == []
        assert not made[0]._preparation.is_pending
        made[0]._claim_after = 0.0
        drive(made, 10)
    assert Delivery.objects.get().status == "delivered"
    assert len(here.arrived) == 1


def test_limits_that_come_hold_for_what_another_pump_has_in_line() -> None:
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(url=here.url)
        publish_numbers(subscription, 20)
        made[0]._claim()
        subscription.rate_limit, subscription.rate_period = 2, "hour"
        subscription.save()
        made[0]._endpoints.reload([subscription.pk])
        drive(made, 2)
    assert len(here.arrived) == 2
    assert Delivery.objects.filter(lane=2).count() == 18


def test_a_rate_that_is_lowered_holds_for_what_is_in_line() -> None:
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(url=here.url, rate_limit=50, rate_period="hour")
        publish_numbers(subscription, 20)
        made[0]._sweep()
        made[0]._claim()
        subscription.rate_limit = 3
        subscription.save()
        made[0]._endpoints.reload([subscription.pk])
        drive(made, 1.5)
        assert len(here.arrived) == 3
        assert Delivery.objects.filter(lane=2).count() == 17


def test_what_is_in_line_waits_for_a_window_that_closed() -> None:
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(url=here.url, max_in_flight=5)
        publish_numbers(subscription, 2)
        made[0]._sweep()
        made[0]._claim()
        now = time.gmtime(time.time() + 7_200)
        closed = {"from": f"{now.tm_hour:02}:00", "until": f"{now.tm_hour:02}:01"}
        Subscription.objects.update(delivery_window=closed)
        made[0]._endpoints.reload([subscription.pk])
        drive(made, 1.2)
        assert here.arrived == []
        assert Delivery.objects.filter(lane=2).count() == 2


def test_what_goes_by_its_limits_already_is_looked_for_in_no_lane() -> None:
    """Windows of hundreds may close at one moment, and a look into the lanes takes milliseconds."""
    with receiver(answer()) as here, pumps(1) as made:
        publish_numbers(make_subscription(url=here.url, max_in_flight=1), 3)
        made[0]._sweep()
        made[0]._claim()
        Subscription.objects.update(breaker="open", breaker_changed_at=clock.now())
        with CaptureQueriesContext(connection) as queries:
            made[0]._notice_changes()
        looks = [one["sql"] for one in queries if one["sql"].startswith("SELECT")]
        assert [sql for sql in looks if "webhooks.outgoing" in sql] == []
        assert Delivery.objects.filter(status="pending", lane=2).count() == 3
    assert here.arrived == []


def test_a_database_that_fails_as_data_is_read_costs_no_claim_and_no_pump(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Claims.read_data
    failures = [OperationalError("away")]

    def failing(claims, work):  # type: ignore[no-untyped-def]
        if failures and work.shape.is_computed:
            raise failures.pop()
        return read(claims, work)

    monkeypatch.setattr(Claims, "read_data", failing)
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        computed = make_subscription(
            subscription.account, url=here.url, transformation="data", event_types=("b",)
        )
        publish(account=subscription.account, type="b", data={"n": 1})
        with pumps(1) as made:
            with pytest.raises(OperationalError):
                made[0]._claim()
            assert not made[0]._claims
            assert made[0]._lines.waiting() == []
            Delivery.objects.release_expired(
                Delivery.objects.all()[0].created_at.replace(year=2099)
            )
            drive(made, 10)
        assert computed.deliveries.get().status == "delivered"
    assert len(here.arrived) == 2


def test_nothing_to_send_survives_a_database_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = type(Delivery.objects.all()).finish
    failures = [OperationalError("away")]

    def failing(*args, **values):  # type: ignore[no-untyped-def]
        if failures:
            raise failures.pop()
        return finish(*args, **values)

    monkeypatch.setattr(type(Delivery.objects.all()), "finish", failing)
    publish_numbers(make_subscription(transformation="data.absent"), 2)
    with pumps(1) as made:
        with pytest.raises(OperationalError):
            drive(made, 10)
        drive(made, 10)
    assert (
        list(Delivery.objects.values_list("status", "last_cause"))
        == [("cancelled", "nothing_to_send")] * 2
    )


# --- batches --------------------------------------------------------------------------------------


def test_a_batch_of_computed_data_is_one_post() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(
            url=here.url, batch_size=80, transformation='{"n": data.n}'
        )
        publish_numbers(subscription, 80)
        deliver()
    assert [len(orjson.loads(arrived.body)) for arrived in here.arrived] == [80]


@pytest.mark.parametrize("transformation", ["", '{"n": data.n, "text": data.text}'])
def test_a_batch_of_large_bodies_is_split(
    transformation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "BATCH_BYTES", 100_000)
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, batch_size=10, transformation=transformation)
        publish_numbers(subscription, 5, text="x" * 40_000)
        deliver()
    sizes = [len(orjson.loads(arrived.body)) for arrived in here.arrived]
    assert sorted(sizes) == [1, 2, 2]
    assert Delivery.objects.filter(status="delivered").count() == 5


def test_each_part_of_a_split_batch_counts_for_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "BATCH_BYTES", 100_000)
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(
            url=here.url, batch_size=10, rate_limit=2, rate_period="hour"
        )
        publish_numbers(subscription, 5, text="x" * 60_000)
        drive(made, 2)
    assert len(here.arrived) == 2


def test_a_full_batch_counts_once_for_the_rate() -> None:
    with receiver(answer()) as here, pumps(1) as made:
        subscription = make_subscription(
            url=here.url, batch_size=10, rate_limit=2, rate_period="hour"
        )
        publish_numbers(subscription, 30)
        drive(made, 1)
        step(made[0])
    assert [len(orjson.loads(arrived.body)) for arrived in here.arrived] == [10, 10]
