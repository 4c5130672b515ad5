"""The end of a pump's turn, and pumps that end without one (promise 5)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import structlog
import time_machine
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from outgoing import breakers, endpoints
from outgoing import claims as claims_module
from outgoing import deliver as deliver_module
from outgoing import results as results_module
from outgoing.claims import Claims
from outgoing.messages import SMALL_DATA_BYTES
from outgoing.models import Attempt, Delivery, Event, Retry
from outgoing.querysets import LEASE_SECONDS, DeliveryQuerySet, EventQuerySet
from tests.factories import make_delivery, make_event, make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import Turn, deliver
from tests.outgoing.test_deliver_fairly import Held, backlog, is_under_way
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.outbound import Outbound
from webhooks_project.pumps import POLL_SECONDS

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LEASE = timedelta(seconds=LEASE_SECONDS)


@pytest.fixture(autouse=True)
def frozen_clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_module, "DATABASE_PAUSE_SECONDS", 0)


def states() -> list[tuple[Any, ...]]:
    rows = Delivery.objects.order_by("next_attempt_at")
    return list(rows.values_list("status", "lane", "attempt_count", "leased_until"))


# --- the end of a turn ----------------------------------------------------------------------------


@pytest.mark.parametrize("lane", [0, 1])
def test_gives_back_what_was_not_started_and_finishes_what_is_under_way(
    lane: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoints, "FAIR_SHARE", 1)
    held = Held()
    with receiver(held.script) as here:
        backlog(make_subscription(url=here.url), 3, lane=lane)
        at_leaving: list[list[tuple[Any, ...]]] = []

        def leave() -> None:
            at_leaving.append(states())
            held.let_go()

        turn = Turn(until=is_under_way(1, here), on_leaving=leave)
        assert deliver(turn) == 1
    # The place is free before the last answer is there.
    assert at_leaving == [[("delivering", None, 0, NOW + LEASE)] * 3]
    assert states() == [
        ("delivered", None, 1, None),
        ("pending", lane, 0, None),
        ("pending", lane, 0, None),
    ]
    assert (turn.left, len(here.arrived), Attempt.objects.count()) == (1, 1, 1)


def test_rests_until_the_last_answers_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It claims no more, so there is nothing to look for while it waits."""
    waited: list[float] = []
    wait = Outbound.wait

    def counted(outbound: Outbound, seconds: float) -> Any:
        waited.append(seconds)
        return wait(outbound, seconds)

    held = Held()
    with receiver(held.script) as here:
        backlog(make_subscription(url=here.url), 1)

        def leave() -> None:
            monkeypatch.setattr(Outbound, "wait", counted)
            threading.Timer(0.4, held.let_go).start()

        assert deliver(Turn(until=is_under_way(1, here), on_leaving=leave)) == 1
    assert set(waited) == {POLL_SECONDS}


def test_takes_up_nothing_once_its_turn_is_over() -> None:
    class Over(Turn):
        def goes_on(self) -> bool:
            return False

    with receiver(answer()) as here:
        backlog(make_subscription(url=here.url), 3)
        turn = Over()
        assert deliver(turn) == 0
    assert (turn.left, here.connections) == (1, 0)
    assert states() == [("pending", 0, 0, None)] * 3


def test_what_is_not_due_is_left_alone() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        make_delivery(
            make_event(subscription.account),
            subscription,
            next_attempt_at=NOW + timedelta(seconds=1),
        )
        assert deliver(Turn(until=lambda: True)) == 0
    assert here.connections == 0
    assert states() == [("pending", 0, 0, None)]


# --- claims ---------------------------------------------------------------------------------------


def test_takes_up_what_a_dead_worker_had_claimed() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        for leased_until in (NOW - timedelta(seconds=1), NOW + timedelta(seconds=1)):
            make_delivery(
                make_event(subscription.account),
                subscription,
                status="delivering",
                next_attempt_at=leased_until,
                lease_token=new_id(),
                leased_until=leased_until,
            )
        turn = Turn(until=lambda: Delivery.objects.filter(status="delivered").exists())
        assert deliver(turn) == 1
    assert len(here.arrived) == 1
    # The attempt that was lost is not counted; the claim of the living one stands.
    assert states() == [
        ("delivered", None, 1, None),
        ("delivering", None, 0, NOW + timedelta(seconds=1)),
    ]
    assert Attempt.objects.get().number == 1


def test_a_pump_whose_claim_was_taken_writes_nothing() -> None:
    held = Held()
    token = new_id()
    with receiver(held.script) as here, structlog.testing.capture_logs() as lines:
        (delivery,) = backlog(make_subscription(url=here.url), 1)
        turn = Turn(
            steps=[
                is_under_way(1, here),
                lambda: bool(Delivery.objects.update(lease_token=token)),
                held.let_go,
            ],
            until=lambda: any("lost claims" in line["event"] for line in lines),
        )
        assert deliver(turn) == 0
    delivery.refresh_from_db()
    assert (delivery.status, delivery.lease_token) == ("delivering", token)
    assert (delivery.attempt_count, delivery.delivered_at, delivery.last_cause) == (0, None, "")
    assert not Attempt.objects.exists()
    assert not Retry.objects.exists()


def test_a_living_pump_keeps_its_claims(frozen_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_module, "RENEW_SECONDS", 0)
    monkeypatch.setattr(deliver_module, "SWEEP_SECONDS", 0)
    held = Held()
    leases: list[datetime | None] = []
    with receiver(held.script) as here:
        (delivery,) = backlog(make_subscription(url=here.url), 1)

        def look() -> None:
            leases.append(Delivery.objects.get().leased_until)

        turn = Turn(
            steps=[
                is_under_way(1, here),
                look,
                lambda: frozen_clock.shift(timedelta(seconds=9)),
                look,
                lambda: frozen_clock.shift(timedelta(seconds=9)),
                look,
                held.let_go,
            ]
        )
        assert deliver(turn) == 1
    assert leases == [
        NOW + LEASE,
        NOW + timedelta(seconds=9) + LEASE,
        NOW + 2 * timedelta(seconds=9) + LEASE,
    ]
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == ("delivered", 1)


@pytest.mark.django_db
def test_a_lease_that_has_just_begun_is_not_renewed(
    frozen_clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    claims, seconds = Claims(), 100.0
    monkeypatch.setattr(claims_module.time, "monotonic", lambda: seconds)

    def claim() -> UUID:
        delivery = make_delivery(next_attempt_at=NOW)
        claims.add(Delivery.objects.claim(now=clock.now(), lane=0, limit=1), seconds)
        return delivery.pk

    def pass_by(count: float) -> None:
        nonlocal seconds
        seconds += count
        frozen_clock.shift(timedelta(seconds=count))

    def leases(*deliveries: UUID) -> list[float]:
        ends = dict(Delivery.objects.values_list("pk", "leased_until"))
        return [(ends[key] - NOW - LEASE).total_seconds() for key in deliveries]

    first = claim()
    pass_by(1.5)
    second = claim()
    pass_by(1)
    claims.renew(older_than=2.5)
    assert leases(first, second) == [2.5, 1.5]
    pass_by(2)
    claims.renew(older_than=2.5)
    assert leases(first, second) == [2.5, 4.5]


# --- a database that is away ----------------------------------------------------------------------


@pytest.mark.usefixtures("no_pause")
@pytest.mark.django_db(transaction=True)
def test_an_answer_is_kept_until_it_can_be_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    record_results = results_module.record_results
    failures = [OperationalError("away")] * 3

    def record_at_last(*args: Any, **kwargs: Any) -> int:
        if failures:
            raise failures.pop()
        return record_results(*args, **kwargs)

    monkeypatch.setattr(results_module, "record_results", record_at_last)
    with receiver(answer()) as here:
        backlog(make_subscription(url=here.url), 1)
        assert deliver() == 1
    assert (len(here.arrived), Attempt.objects.count(), failures) == (1, 1, [])
    assert states() == [("delivered", None, 1, None)]


@pytest.mark.usefixtures("no_pause")
@pytest.mark.django_db(transaction=True)
def test_goes_on_when_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    lanes_due = DeliveryQuerySet.lanes_due
    failures = [OperationalError("away")] * 3

    def look_at_last(self: Any, now: datetime, **options: Any) -> list[int]:
        if failures:
            raise failures.pop()
        return lanes_due(self, now, **options)

    monkeypatch.setattr(DeliveryQuerySet, "lanes_due", look_at_last)
    with receiver(answer()) as here:
        backlog(make_subscription(url=here.url), 2)
        assert deliver() == 2
    assert (len(here.arrived), failures) == (2, [])


LARGE = b'"' + b"x" * SMALL_DATA_BYTES + b'"'


@pytest.mark.usefixtures("no_pause")
@pytest.mark.django_db(transaction=True)
def test_a_large_event_is_read_again_when_the_database_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = EventQuerySet.first
    failures = [OperationalError("away")]

    def read_at_last(self: Any) -> Any:
        if failures:
            raise failures.pop()
        return first(self)

    monkeypatch.setattr(EventQuerySet, "first", read_at_last)
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, max_in_flight=1)
        for _ in range(2):
            event = make_event(subscription.account)
            Event.objects.filter(pk=event.pk).update(data=LARGE)
            make_delivery(event, subscription)
        assert deliver() == 2
    assert ([len(arrived.body) for arrived in here.arrived], failures) == (
        [len(here.arrived[0].body)] * 2,
        [],
    )
    assert Delivery.objects.filter(status="delivered", attempt_count=1).count() == 2


def test_a_large_event_that_was_deleted_meanwhile_is_passed_over() -> None:
    held = Held()
    with receiver(held.script) as here:
        subscription = make_subscription(url=here.url, max_in_flight=1)
        rows = backlog(subscription, 3)
        Event.objects.filter(pk=rows[1].event_id).update(data=LARGE)
        turn = Turn(
            steps=[
                is_under_way(1, here),
                lambda: bool(Event.objects.get(pk=rows[1].event_id).delete()),
                held.let_go,
            ]
        )
        assert deliver(turn) == 2
    assert len(here.arrived) == 2
    assert states() == [("delivered", None, 1, None)] * 2


# --- cost -----------------------------------------------------------------------------------------


def test_an_idle_pass_looks_six_times_and_writes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "_SUCCESSES", {})
    with CaptureQueriesContext(connection) as queries:
        assert deliver(Turn(until=lambda: True)) == 0
    statements = [query["sql"].split(" ", 1)[0] for query in queries]
    # Leases that ran out, what is held, flows and what they parked, and the two lanes.
    assert statements == ["UPDATE", *["SELECT"] * 5]
