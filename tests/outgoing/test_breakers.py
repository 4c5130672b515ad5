"""Circuit breakers: what fails too much is let alone, held in the queue, and tried with one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.utils import timezone

from monitoring.models import Activity
from outgoing import breakers
from outgoing import deliver as deliver_module
from outgoing import results as results_module
from outgoing.breakers import note_results
from outgoing.judge import Delivered, RetryAt, Step
from outgoing.models import Attempt, Breaker, Delivery, Flow
from outgoing.querysets import Claim
from outgoing.record import Result
from outgoing.services import publish
from subscriptions.models import Subscription
from subscriptions.services import change_subscription, set_status
from tests.factories import make_delivery, make_event, make_subscription
from tests.lib.receiver import OK, Line, answer, receiver, status
from tests.outgoing.pump import Turn, deliver, is_settled
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.outbound import Failure, Response

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def frozen_clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakers, "_SUCCESSES", {})


@pytest.fixture
def sweeps_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done once a second is done in each pass."""
    monkeypatch.setattr(deliver_module, "SWEEP_SECONDS", 0)


def result(
    subscription: Subscription,
    *,
    succeeded: bool,
    started_at: datetime | None = None,
    failure: Failure = Failure.REFUSED,
) -> Result:
    started_at = started_at or timezone.now()
    step: Step = Delivered() if succeeded else RetryAt(Attempt.Cause.REFUSED, started_at)
    claim = Claim(
        new_id(), new_id(), subscription.pk, "first", 0, 0, None, started_at, None, started_at,
        None, new_id(),
    )  # fmt: skip
    return Result(
        claim=claim,
        account_id=subscription.account_id,
        correlation_id="",
        response=Response(status=200) if succeeded else Response(failure=failure),
        step=step,
        started_at=started_at,
        request_headers={},
        request_bytes=0,
    )


def note(subscription: Subscription, *, succeeded: int = 0, failed: int = 0) -> str:
    """Have so many attempts noted, the successes first. Returns the breaker's state then."""
    note_results([result(subscription, succeeded=True)] * succeeded)
    note_results([result(subscription, succeeded=False)] * failed)
    subscription.refresh_from_db()
    return subscription.breaker


# --- when it opens --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("succeeded", "failed", "state"),
    [
        (0, 9, "closed"),
        (0, 10, "open"),
        (3, 7, "open"),
        (2, 7, "closed"),  # nine are too few
        (4, 6, "closed"),
        (4, 9, "closed"),  # 69 %
        (30, 70, "open"),
        (31, 70, "closed"),
    ],
)
def test_opens_at_seven_tenths_of_ten_attempts(succeeded: int, failed: int, state: str) -> None:
    assert note(make_subscription(), succeeded=succeeded, failed=failed) == state


def test_counts_five_minutes_only(frozen_clock: Any) -> None:
    subscription = make_subscription()
    assert note(subscription, failed=9) == "closed"
    frozen_clock.shift(311)
    assert note(subscription, failed=9) == "closed"
    frozen_clock.shift(280)
    assert note(subscription, failed=1) == "open"


def test_successes_of_before_five_minutes_do_not_count(frozen_clock: Any) -> None:
    subscription = make_subscription()
    note(subscription, succeeded=50)
    frozen_clock.shift(311)
    assert note(subscription, failed=10) == "open"


def test_an_endpoint_that_works_has_no_row() -> None:
    subscription = make_subscription()
    assert note(subscription, succeeded=100) == "closed"
    assert not Breaker.objects.exists()


@pytest.mark.parametrize("failure", sorted(breakers.NOT_ITS_FAULT))
def test_what_is_no_fault_of_the_endpoint_does_not_count(failure: Failure) -> None:
    subscription = make_subscription()
    note_results([result(subscription, succeeded=False, failure=failure)] * 20)
    assert not Breaker.objects.exists()


def test_counts_what_several_workers_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    subscription = make_subscription()
    mine: Any = {}
    others: Any = {}
    monkeypatch.setattr(breakers, "_SUCCESSES", mine)
    assert note(subscription, failed=5) == "closed"
    monkeypatch.setattr(breakers, "_SUCCESSES", others)
    assert note(subscription, succeeded=3) == "closed"
    breakers.share_successes()
    assert others == {}
    monkeypatch.setattr(breakers, "_SUCCESSES", mine)
    assert note(subscription, failed=1) == "closed"
    assert list(Breaker.objects.get().figures.values()) == [[3, 6]]
    assert note(subscription, failed=1) == "open"
    assert Breaker.objects.get().figures == {}


def test_opening_and_closing_are_activities(frozen_clock: Any) -> None:
    subscription = make_subscription(name="Till")
    note(subscription, succeeded=2, failed=8)
    frozen_clock.shift(30)
    breakers.half_open(subscription.pk)
    note(subscription, failed=1)
    frozen_clock.shift(30)
    breakers.half_open(subscription.pk)
    note(subscription, succeeded=1)
    found = Activity.objects.filter(object_id=str(subscription.pk)).order_by("created_at")
    assert list(found.values_list("kind", "text")) == [
        (
            "breaker.opened",
            "8 of 10 attempts to deliver to Till failed; it is let alone for 30 seconds and then "
            "tried with one.",
        ),
        ("breaker.opened", "Till failed again; it is let alone once more."),
        ("breaker.closed", "Deliveries to Till go on: one has succeeded."),
    ]


# --- half-open ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("succeeded", "state"), [(True, "closed"), (False, "open")])
def test_one_attempt_decides(succeeded: bool, state: str, frozen_clock: Any) -> None:
    subscription = make_subscription()
    note(subscription, failed=10)
    frozen_clock.shift(30)
    breakers.half_open(subscription.pk)
    assert note(subscription, succeeded=int(succeeded), failed=int(not succeeded)) == state
    assert subscription.is_limited == (state == "open")


def test_what_began_before_it_was_tried_decides_nothing(frozen_clock: Any) -> None:
    subscription = make_subscription()
    before = NOW + timedelta(seconds=29)
    note(subscription, failed=10)
    frozen_clock.shift(30)
    breakers.half_open(subscription.pk)
    for succeeded in (True, False):
        note_results([result(subscription, succeeded=succeeded, started_at=before)])
        subscription.refresh_from_db()
        assert subscription.breaker == "half_open"


def test_once_closed_it_counts_from_nothing(frozen_clock: Any) -> None:
    subscription = make_subscription()
    note(subscription, failed=10)
    frozen_clock.shift(30)
    breakers.half_open(subscription.pk)
    note(subscription, succeeded=1)
    assert note(subscription, failed=9) == "closed"
    assert note(subscription, failed=1) == "open"


# --- the row that says so -------------------------------------------------------------------------


def test_its_deliveries_go_by_limits_while_it_is_not_closed() -> None:
    subscription = make_subscription()
    assert not subscription.is_limited
    note(subscription, failed=10)
    assert subscription.is_limited
    publish(account=subscription.account, type="a", data={})
    assert Delivery.objects.get().lane == Delivery.Lane.LIMITED


@pytest.mark.parametrize("update_fields", [None, ["name"]])
def test_a_row_that_was_read_before_does_not_close_it(update_fields: list[str] | None) -> None:
    stale = make_subscription()
    note(Subscription.objects.get(pk=stale.pk), failed=10)
    stale.name = "Another"
    stale.save(update_fields=update_fields)
    stored = Subscription.objects.get(pk=stale.pk)
    assert (stored.name, stored.breaker, stored.is_limited) == ("Another", "open", True)
    assert stored.breaker_changed_at == NOW


def test_another_url_closes_it() -> None:
    subscription = make_subscription()
    note(subscription, failed=10)
    change_subscription(subscription=subscription, name="Same")
    assert Subscription.objects.get().breaker == "open"
    change_subscription(subscription=subscription, url="https://198.51.101.7/other")
    stored = Subscription.objects.get()
    assert (stored.breaker, stored.is_limited) == ("closed", False)


def test_taking_it_up_again_closes_it_and_what_it_has_by_itself_stays() -> None:
    subscription = make_subscription(max_in_flight=3)
    note(subscription, failed=10)
    set_status(subscription=subscription, status=Subscription.Status.PAUSED)
    assert Subscription.objects.get().breaker == "open"
    set_status(subscription=subscription, status=Subscription.Status.ACTIVE)
    stored = Subscription.objects.get()
    assert (stored.breaker, stored.is_limited) == ("closed", True)
    assert note(stored, failed=9) == "closed"


# --- the pump -------------------------------------------------------------------------------------


def backlog(subscription: Subscription, count: int) -> None:
    for number in range(count):
        make_delivery(
            make_event(subscription.account, data={"n": number}),
            subscription,
            next_attempt_at=NOW - timedelta(hours=1) + timedelta(minutes=number),
        )


def all_stand_aside(count: int) -> bool:
    return Delivery.objects.filter(lane=Delivery.Lane.LIMITED).count() == count


@pytest.mark.usefixtures("sweeps_always")
def test_holds_what_waits_tries_with_one_and_goes_on(
    frozen_clock: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgoing.endpoints.FAIR_SHARE", 5)
    monkeypatch.setattr(results_module, "RECORD_SECONDS", 0)
    settings.WEBHOOKS_DELIVERY_IN_FLIGHT = 8
    works = threading.Event()
    most = now = 0
    lock = threading.Lock()

    def script(line: Line) -> None:
        nonlocal most, now
        while line.read():
            with lock:
                now += 1
                most = max(most, now)
            line.receiver.closing.wait(0.01)
            with lock:
                now -= 1
            line.send(OK if works.is_set() else status(500))

    with receiver(script) as here:
        subscription = make_subscription(url=here.url)
        backlog(subscription, 40)
        states: list[tuple[str, int]] = []
        turn = Turn(until=lambda: turn.passes > 400)

        def is_open_and_quiet() -> bool:
            seen = len(here.arrived)
            stored = Subscription.objects.get()
            untried = Delivery.objects.filter(attempt_count=0)
            quiet = untried.count() == untried.filter(lane=Delivery.Lane.LIMITED).count()
            if stored.breaker != "open" or not quiet or Attempt.objects.count() != seen:
                return False
            states.append((stored.breaker, seen))
            return True

        def try_one() -> None:
            nonlocal most
            most = 0
            frozen_clock.shift(31)

        def was_tried() -> bool:
            return Attempt.objects.count() == states[0][1] + 1

        def is_open_again() -> bool:
            return was_tried() and Subscription.objects.get().breaker == "open"

        def try_again() -> None:
            works.set()
            frozen_clock.shift(31)

        turn.steps = [is_open_and_quiet, try_one, is_open_again, try_again]
        turn.until = is_settled
        deliver(turn)
    assert 10 <= states[0][1] <= 20  # those under way when the tenth had failed, and no more
    assert most <= 5
    subscription.refresh_from_db()
    assert (subscription.breaker, subscription.is_limited) == ("closed", False)
    # Each has had one attempt: none was used up while it was open.
    assert set(Delivery.objects.values_list("attempt_count", flat=True)) == {1}
    failed = states[0][1] + 1
    assert Delivery.objects.filter(status="delivered").count() == 40 - failed
    assert len(here.arrived) == 40


@pytest.mark.usefixtures("sweeps_always")
def test_only_one_attempt_tries_however_many_wait(frozen_clock: Any, settings: Any) -> None:
    settings.WEBHOOKS_DELIVERY_IN_FLIGHT = 8
    gate = threading.Event()

    def script(line: Line) -> None:
        while line.read():
            gate.wait(20)
            line.send(OK)

    with receiver(script) as here:
        subscription = make_subscription(url=here.url, max_in_flight=8)
        note(subscription, failed=10)
        for number in range(20):
            make_delivery(
                make_event(subscription.account, data={"n": number}),
                subscription,
                lane=Delivery.Lane.LIMITED,
                next_attempt_at=NOW,
            )
        frozen_clock.shift(29)
        turn = Turn(
            steps=[
                lambda: turn.passes > 20,
                lambda: not here.arrived,
                lambda: bool(frozen_clock.shift(1)) or None,
                lambda: len(here.arrived) == 1,
                lambda: turn.passes > 60,
                lambda: (
                    len(here.arrived) == 1 and Subscription.objects.get().breaker == "half_open"
                ),
                gate.set,
            ]
        )
        assert deliver(turn) == 20
    assert Flow.objects.count() == 1


def test_a_probe_whose_worker_died_is_made_again(frozen_clock: Any) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        note(subscription, failed=10)
        frozen_clock.shift(30)
        breakers.half_open(subscription.pk)
        make_delivery(make_event(subscription.account), subscription, lane=Delivery.Lane.LIMITED)
        frozen_clock.shift(60)
        assert deliver() == 1
    subscription.refresh_from_db()
    assert subscription.breaker == "closed"
