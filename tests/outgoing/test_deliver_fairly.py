"""Slow endpoints stand in nobody's way (promise 8), and a pause loses nothing (promise 6)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import OperationalError
from standardwebhooks import Webhook

from outgoing import deliver as deliver_module
from outgoing import endpoints
from outgoing import results as results_module
from outgoing.claims import Claims
from outgoing.lines import Work
from outgoing.messages import read_messages
from outgoing.models import Attempt, Delivery
from outgoing.querysets import DeliveryQuerySet
from outgoing.services import publish
from subscriptions.models import SigningSecret, Subscription
from subscriptions.services import set_status
from tests.factories import SIGNING_SECRET, make_delivery, make_event, make_subscription
from tests.lib.receiver import OK, Line, Receiver, answer, receiver, status
from tests.outgoing.pump import LONGEST_SECONDS, Turn, deliver
from webhooks_project.lib import turns
from webhooks_project.lib.turns import Turns

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Status = Subscription.Status


@pytest.fixture(autouse=True)
def frozen_clock() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture(autouse=True)
def small_pump(settings: Any) -> None:
    settings.WEBHOOKS_DELIVERY_IN_FLIGHT = 8


@pytest.fixture
def sweeps_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done once a second is done in each pass."""
    monkeypatch.setattr(deliver_module, "SWEEP_SECONDS", 0)


class Held:
    """A receiver that answers once it is let go."""

    def __init__(self, response: bytes = OK) -> None:
        self.response = response
        self.gate = threading.Event()

    def script(self, line: Line) -> None:
        while line.read():
            self.gate.wait(20)
            line.send(self.response)

    def let_go(self) -> None:
        self.gate.set()


def backlog(
    subscription: Subscription, count: int, *, lane: int = 0, hours: int = 1
) -> list[Delivery]:
    """Deliveries that wait, the oldest first, each one minute older than the next."""
    return [
        make_delivery(
            make_event(subscription.account, data={"n": number}),
            subscription,
            lane=lane,
            trigger="retry" if lane else "first",
            next_attempt_at=NOW - timedelta(hours=hours) + timedelta(minutes=number),
        )
        for number in range(count)
    ]


def numbers(here: Receiver) -> list[int]:
    return [orjson.loads(arrived.body)["data"]["n"] for arrived in here.arrived]


def is_under_way(count: int, *receivers: Receiver) -> Callable[[], bool]:
    """Whether so many requests have reached the receivers."""
    return lambda: sum(len(here.arrived) for here in receivers) >= count


# --- a pump that has work does not rest ---------------------------------------------------------


def test_claims_again_as_soon_as_a_line_is_empty(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """All that is claimed is of one that has enough waiting, so the claim after it finds nothing:
    the next is not left until the pump would look again."""
    settings.WEBHOOKS_DELIVERY_IN_FLIGHT = 64
    monkeypatch.setattr(deliver_module, "CLAIM_ROWS", 20)
    monkeypatch.setattr(deliver_module, "POLL_SECONDS", LONGEST_SECONDS)
    with receiver(answer()) as here:
        backlog(make_subscription(url=here.url), 50)
        assert deliver() == 50
    assert sorted(numbers(here)) == list(range(50))


def test_looks_for_more_while_something_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is awake for the answer anyway, which may be long in coming."""
    monkeypatch.setattr(deliver_module, "POLL_SECONDS", LONGEST_SECONDS)
    held = Held()
    with receiver(held.script) as slow, receiver(answer()) as healthy:
        other = make_subscription(url=healthy.url)
        backlog(make_subscription(url=slow.url), 1)

        def has_both() -> bool:
            if slow.arrived and not other.deliveries.exists():
                backlog(other, 1)
            if healthy.arrived:
                held.let_go()
            return bool(healthy.arrived)

        assert deliver(Turn(until=has_both)) == 2


def test_what_is_under_way_goes_on_while_another_process_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    @contextmanager
    def seldom(_: Turns, _connection: Any, *, waits: bool) -> Iterator[bool]:
        asked.append(waits)
        yield waits or len(asked) % 3 == 0

    monkeypatch.setattr(Turns, "take", seldom)
    monkeypatch.setattr(deliver_module, "CLAIM_ROWS", 2)
    monkeypatch.setattr(results_module, "RECORD_ROWS", 2)
    with receiver(answer()) as here:
        backlog(make_subscription(url=here.url), 12)
        assert deliver() == 12
    assert sorted(numbers(here)) == list(range(12))
    assert Attempt.objects.filter(outcome="succeeded").count() == 12
    assert set(asked) == {True, False}  # it waits where it has nothing else to do


def test_who_never_finds_the_writer_free_waits_though_something_hangs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Others that wait are woken in order: a try now and then would never have the turn."""
    monkeypatch.setattr(turns, "_path_of", lambda _: str(tmp_path / "turn"))
    monkeypatch.setattr(turns, "_taken_at_once", lambda _: None)
    held = Held()
    with receiver(held.script) as slow, receiver(answer()) as fast:
        backlog(make_subscription(url=slow.url), 1)
        healthy = make_subscription(url=fast.url)
        seen: list[int] = []

        def is_delivered() -> bool:
            return Delivery.objects.filter(subscription=healthy, status="delivered").exists()

        turn = Turn(
            steps=[
                is_under_way(1, slow),
                lambda: bool(publish(account=healthy.account, type="a", data={})),
            ],
            until=is_delivered,
            on_leaving=lambda: (seen.append(len(slow.arrived)), held.let_go()),  # type: ignore[arg-type, return-value]
        )
        deliver(turn)
    assert seen == [1]


# --- what the database fails at -------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)  # the pump looks whether its connection is alive
@pytest.mark.usefixtures("sweeps_always")
def test_what_could_not_be_put_aside_is_when_the_database_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deliver_module, "DATABASE_PAUSE_SECONDS", 0)
    finish = DeliveryQuerySet.finish
    failures = [OperationalError("database is locked")]

    def failing(*args: Any, **options: Any) -> Any:
        if failures:
            raise failures.pop()
        return finish(*args, **options)

    held = Held()
    with receiver(held.script) as slow:
        subscription = make_subscription(url=slow.url)
        rows = backlog(subscription, 18)

        def pause() -> None:
            monkeypatch.setattr(type(Delivery.objects.all()), "finish", failing)
            set_status(subscription=subscription, status=Status.PAUSED)

        turn = Turn(
            steps=[is_under_way(6, slow), pause],
            until=lambda: Delivery.objects.filter(status="held").count() == 12,
            on_leaving=held.let_go,
        )
        deliver(turn)
    assert failures == []
    statuses = [row.status for row in Delivery.objects.filter(pk__in=[r.pk for r in rows])]
    assert sorted(statuses) == ["delivered"] * 6 + ["held"] * 12


def test_what_could_not_be_given_back_is_given_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    release = DeliveryQuerySet.release
    failures = [None, OperationalError("database is locked")]

    def failing(*args: Any, **options: Any) -> Any:
        if failures and (error := failures.pop(0)):
            raise error
        return release(*args, **options)

    monkeypatch.setattr(type(Delivery.objects.all()), "release", failing)
    subscription = make_subscription()
    endpoints_of = endpoints.Endpoints()
    endpoints_of.load([subscription.pk])
    claims = Claims()
    works: list[Work] = []
    for claimed in (backlog(subscription, 2), backlog(subscription, 1, hours=2)):
        found = Delivery.objects.claim(now=NOW, lane=0, limit=len(claimed))
        claims.add(found, 0.0)
        messages = read_messages([claim.event_id for claim in found])
        endpoint = endpoints_of.get(subscription.pk)
        works += [Work(claim, 0, messages[claim.event_id], endpoint) for claim in found]
    with pytest.raises(OperationalError):
        claims.give_back(works)
    assert claims.are_leaving
    assert claims
    claims.settle()
    assert not claims.are_leaving
    assert not claims
    assert Delivery.objects.filter(status="pending", lane=0).count() == 3


# --- slow, failing and hanging endpoints ----------------------------------------------------------


def test_a_hanging_endpoint_delays_nobody_else() -> None:
    held = Held()
    with receiver(held.script) as slow, receiver(answer()) as fast:
        hanging = make_subscription(url=slow.url, max_in_flight=16)
        healthy = make_subscription(url=fast.url)
        backlog(hanging, 30)
        seen: list[tuple[int, int]] = []

        def look_and_let_go() -> None:
            seen.append((len(slow.arrived), len(fast.arrived)))
            held.let_go()

        turn = Turn(
            steps=[
                is_under_way(6, slow),
                lambda: bool(publish(account=healthy.account, type="a", data={})),
            ],
            until=lambda: Delivery.objects.filter(
                subscription=healthy, status="delivered"
            ).exists(),
            on_leaving=look_and_let_go,
        )
        deliver(turn)
    # Three quarters of the pump hung when the healthy one had its delivery.
    assert seen == [(6, 1)]
    assert Attempt.objects.filter(delivery__subscription=healthy).count() == 1


def test_two_hanging_endpoints_leave_room_for_a_third() -> None:
    held = Held()
    with (
        receiver(held.script) as one,
        receiver(held.script) as two,
        receiver(answer()) as fast,
    ):
        backlog(make_subscription(url=one.url), 20)
        backlog(make_subscription(url=two.url), 20)
        healthy = make_subscription(url=fast.url)
        seen: list[int] = []

        def look_and_let_go() -> None:
            seen.append(len(one.arrived) + len(two.arrived))
            held.let_go()

        turn = Turn(
            steps=[
                is_under_way(6, one, two),
                lambda: bool(publish(account=healthy.account, type="a", data={})),
            ],
            until=lambda: Delivery.objects.filter(status="delivered").exists(),
            on_leaving=look_and_let_go,
        )
        deliver(turn)
    assert seen == [6]
    assert len(fast.arrived) == 1


def test_a_backlog_of_retries_delays_no_first_attempt() -> None:
    held = Held()
    with ExitStack() as stack:
        slow = [stack.enter_context(receiver(held.script)) for _ in range(6)]
        fast = stack.enter_context(receiver(answer()))
        for here in slow:
            backlog(make_subscription(url=here.url), 3, lane=1, hours=9)
        healthy = make_subscription(url=fast.url)
        backlog(healthy, 5, lane=1, hours=9)  # its own, too
        seen: list[int] = []

        def look_and_let_go() -> None:
            seen.append(sum(len(here.arrived) for here in slow))
            held.let_go()

        turn = Turn(
            steps=[
                is_under_way(4, *slow),
                lambda: bool(publish(account=healthy.account, type="a", data={"n": 99})),
            ],
            until=lambda: Delivery.objects.filter(trigger="first", status="delivered").exists(),
            on_leaving=look_and_let_go,
        )
        deliver(turn)
        assert len(seen) == 1
        assert seen[0] <= 4  # half of the pump is for them and no more
        assert 99 in numbers(fast)


def test_a_failing_endpoint_delays_nobody() -> None:
    with receiver(answer(status(500))) as failing, receiver(answer()) as fast:
        broken = make_subscription(url=failing.url, max_in_flight=1)
        backlog(broken, 100, hours=9)
        healthy = make_subscription(url=fast.url)
        backlog(healthy, 3)
        seen: list[int] = []
        deliver(
            Turn(
                until=lambda: len(fast.arrived) == 3,
                on_leaving=lambda: seen.append(len(failing.arrived)),
            )
        )
    assert sorted(numbers(fast)) == [0, 1, 2]  # side by side, so in any order
    # Its own hundred, all of them older, were not waited for.
    assert len(seen) == 1
    assert seen[0] < 100


@pytest.mark.parametrize("cap", [1, 3])
def test_an_endpoint_has_no_more_under_way_than_it_may(cap: int) -> None:
    most = 0
    now = 0
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
            line.send(OK)

    with receiver(script) as here:
        backlog(make_subscription(url=here.url, max_in_flight=cap), 12)
        assert deliver() == 12
    assert most == cap
    assert sorted(numbers(here)) == list(range(12))


def test_one_after_the_other_they_arrive_in_order() -> None:
    with receiver(answer()) as here:
        backlog(make_subscription(url=here.url, max_in_flight=1), 12)
        deliver()
    assert numbers(here) == list(range(12))


# --- pauses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [Status.PAUSED, Status.DISABLED])
def test_what_came_during_a_pause_is_delivered_after_it_the_oldest_first(
    state: Subscription.Status, frozen_clock: Any
) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url, max_in_flight=1)
        backlog(subscription, 3)  # published before the pause
        set_status(subscription=subscription, status=state)
        for number in range(3, 6):
            frozen_clock.shift(60)
            publish(account=subscription.account, type="a", data={"n": number})
        assert deliver() == 0
        assert here.connections == 0
        assert Delivery.objects.filter(status="held").count() == 6
        frozen_clock.shift(60)
        set_status(subscription=subscription, status=Status.ACTIVE)
        assert deliver() == 6
    assert numbers(here) == list(range(6))
    assert Delivery.objects.filter(status="delivered").count() == 6
    assert set(Attempt.objects.values_list("number", "trigger")) == {(1, "resume")}


@pytest.mark.usefixtures("sweeps_always")
@pytest.mark.parametrize(
    ("state", "ending"), [(Status.PAUSED, "held"), (Status.ARCHIVED, "cancelled")]
)
def test_a_pause_also_stops_what_was_claimed_before_it(
    state: Subscription.Status, ending: str
) -> None:
    held = Held()
    with receiver(held.script) as here:
        subscription = make_subscription(url=here.url, max_in_flight=1)
        first, *rest = backlog(subscription, 3)
        turn = Turn(
            steps=[
                is_under_way(1, here),
                lambda: bool(set_status(subscription=subscription, status=state)),
                lambda: Delivery.objects.filter(status=ending).count() == 2,
                held.let_go,
            ]
        )
        assert deliver(turn) == 1
    assert numbers(here) == [0]
    first.refresh_from_db()
    assert first.status == "delivered"
    rows = Delivery.objects.filter(pk__in=[row.pk for row in rest])
    assert set(rows.values_list("status", "lane", "lease_token", "attempt_count")) == {
        (ending, None, None, 0)
    }


@pytest.mark.usefixtures("sweeps_always")
def test_a_new_url_and_secret_also_count_for_what_was_claimed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoints, "FAIR_SHARE", 1)
    held = Held()
    new_secret = "whsec_" + "QUJD" * 8
    with receiver(held.script) as old, receiver(answer()) as new:
        subscription = make_subscription(url=old.url)
        backlog(subscription, 2)

        def move() -> None:
            Subscription.objects.update(url=new.url)
            SigningSecret.objects.all().delete()
            SigningSecret.objects.create(subscription=subscription, secret=new_secret)

        turn = Turn(steps=[is_under_way(1, old), move, lambda: turn.passes > 5, held.let_go])
        assert deliver(turn) == 2
        Webhook(SIGNING_SECRET).verify(old.arrived[0].body, old.arrived[0].headers)
        Webhook(new_secret).verify(new.arrived[0].body, new.arrived[0].headers)
    assert (numbers(old), numbers(new)) == ([0], [1])


@pytest.mark.parametrize("state", [Status.ARCHIVED, Status.DISABLED])
def test_410_from_one_that_was_ended_meanwhile_changes_its_status_no_more(
    state: Subscription.Status,
) -> None:
    held = Held(status(410))
    with receiver(held.script) as here:
        subscription = make_subscription(url=here.url)
        (delivery,) = backlog(subscription, 1)
        turn = Turn(
            steps=[
                is_under_way(1, here),
                lambda: bool(set_status(subscription=subscription, status=state, reason="a word")),
                held.let_go,
            ]
        )
        assert deliver(turn) == 1
    subscription.refresh_from_db()
    assert (subscription.status, subscription.status_reason) == (state, "a word")
    assert Attempt.objects.get().status_code == 410
    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempt_count) == ("held", 1)
