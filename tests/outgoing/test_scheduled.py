"""Events for later: nothing goes out before the time, and until then they can be taken back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing import publishing
from outgoing.errors import EventNotAcceptable, StateNotAllowed
from outgoing.models import Attempt, Delivery, Event
from outgoing.services import cancel_event, publish, redeliver, release_event
from subscriptions.models import Subscription
from tests.factories import make_event, make_subscription
from tests.lib.receiver import answer, receiver
from tests.outgoing.pump import Turn, deliver
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

# Ids take the machine's time, and their order counts here.
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
LATER = NOW + DAY


@pytest.fixture
def moment() -> Iterator[Any]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


def once(*, passes: int = 4) -> Turn:
    """A turn that ends although something waits for its time."""
    turn = Turn()
    turn.until = lambda: turn.passes > passes
    return turn


def test_stands_in_its_lane_and_nothing_is_due_before_the_time(moment: Any) -> None:
    plain = make_subscription()
    limited = make_subscription(plain.account, rate_limit=5)
    held = make_subscription(plain.account, status="paused")
    event = publish(account=plain.account, type="a", data={}, deliver_at=LATER).event
    rows = {row.subscription_id: row for row in Delivery.objects.all()}
    assert {row.next_attempt_at for row in rows.values()} == {LATER}
    assert [(rows[item.pk].status, rows[item.pk].lane) for item in (plain, limited, held)] == [
        ("pending", Delivery.Lane.FIRST),
        ("pending", Delivery.Lane.LIMITED),
        ("held", None),
    ]
    assert all(row.is_scheduled(NOW) and not row.is_scheduled(LATER) for row in rows.values())
    assert (event.is_scheduled(NOW), event.is_scheduled(LATER)) == (True, False)
    before = LATER - timedelta(microseconds=1)
    assert Delivery.objects.lanes_due(before) == []
    assert Delivery.objects.claim(now=before, lane=0, limit=10) == []
    assert Delivery.objects.lanes_due(LATER) == [0]
    assert [c.subscription_id for c in Delivery.objects.claim(now=LATER, lane=0, limit=10)] == [
        plain.pk
    ]


def test_goes_out_at_its_time(moment: Any) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        publish(account=subscription.account, type="a", data={}, deliver_at=LATER)
        assert deliver(once()) == 0
        moment.move_to(LATER)
        assert deliver() == 1
    assert len(here.arrived) == 1
    assert Attempt.objects.get().queue_wait_ms == 0


@pytest.mark.parametrize("deliver_at", [None, NOW, NOW - DAY])
def test_a_time_that_has_passed_is_now(deliver_at: Any, moment: Any) -> None:
    subscription = make_subscription()
    event = publish(account=subscription.account, type="a", data={}, deliver_at=deliver_at).event
    assert Delivery.objects.get().next_attempt_at == NOW
    assert event.deliver_at == deliver_at
    assert not event.is_scheduled(NOW)


def test_it_is_at_most_30_days_ahead(moment: Any) -> None:
    account = make_subscription().account
    publish(account=account, type="a", data={}, deliver_at=NOW + 30 * DAY)
    late = NOW + 30 * DAY + timedelta(microseconds=1)
    with pytest.raises(EventNotAcceptable) as caught:
        publish(account=account, type="a", data={}, deliver_at=late)
    (error,) = caught.value.extra["errors"]
    assert (error["path"], error["code"]) == ("/deliver_at", "too_late")
    assert Event.objects.count() == 1


def test_nobody_is_woken_for_later(
    moment: Any, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    woken: list[str] = []
    monkeypatch.setattr(publishing, "wake", woken.append)
    account = make_subscription().account
    with django_capture_on_commit_callbacks(execute=True):
        publish(account=account, type="a", data={}, deliver_at=LATER)
    assert woken == []


def test_what_is_released_from_quarantine_still_waits_for_its_time(moment: Any) -> None:
    subscription = make_subscription()
    event = make_event(subscription.account, quarantined_at=NOW, deliver_at=LATER)
    release_event(event=event)
    assert Delivery.objects.get().next_attempt_at == LATER


def test_what_is_resumed_still_waits_for_its_time(moment: Any) -> None:
    subscription = make_subscription(status=Subscription.Status.PAUSED)
    publish(account=subscription.account, type="a", data={}, deliver_at=LATER)
    Subscription.objects.update(status=Subscription.Status.ACTIVE)
    assert Delivery.objects.restore_held(NOW, 10) == 1
    assert Delivery.objects.get().next_attempt_at == LATER


# --- order ----------------------------------------------------------------------------------------


def ordered(moment: Any) -> tuple[Account, Subscription]:
    subscription = make_subscription(ordering="strict", order_key="data.key")
    return subscription.account, subscription


def claimed(subscription: Subscription, now: datetime) -> list[Any]:
    claims = Delivery.objects.claim_limited(subscription.pk, now=now, limit=10, in_order=True)
    return [claim.event_id for claim in claims]


def test_in_an_order_it_has_the_place_of_its_time(moment: Any) -> None:
    account, subscription = ordered(moment)
    events = {
        name: publish(account=account, type="a", data={"key": 1}, deliver_at=at).event
        for name, at in (("tomorrow", LATER), ("soon", NOW + timedelta(hours=1)), ("now", None))
    }
    # What is due later keeps nothing back.
    assert claimed(subscription, NOW) == [events["now"].pk]
    # What was due sooner and is not over keeps back what is due by now.
    assert claimed(subscription, LATER) == []
    Delivery.objects.filter(event=events["now"]).update(status="delivered")
    Delivery.objects.unpark(subscription.pk)
    assert claimed(subscription, LATER) == [events["soon"].pk]
    Delivery.objects.filter(event=events["soon"]).update(status="delivered")
    Delivery.objects.unpark(subscription.pk)
    assert claimed(subscription, LATER) == [events["tomorrow"].pk]


def test_of_several_for_one_time_those_published_first_go_first(moment: Any) -> None:
    account, subscription = ordered(moment)
    events = [
        publish(account=account, type="a", data={"key": 1}, deliver_at=LATER).event.pk
        for _ in range(20)
    ]
    assert (
        list(Delivery.objects.order_by("next_attempt_at", "pk").values_list("event", flat=True))
        == events
    )
    assert claimed(subscription, LATER) == events[:1]


# --- cancel ---------------------------------------------------------------------------------------


def test_cancelled_it_goes_to_nobody(moment: Any) -> None:
    active = make_subscription()
    make_subscription(active.account, status="paused")
    event = publish(account=active.account, type="a", data={}, deliver_at=LATER).event
    cancelled = cancel_event(event=event)
    assert cancelled.cancelled_at == NOW
    event.refresh_from_db()
    assert event.cancelled_at == NOW
    assert not event.is_scheduled(NOW)
    rows = Delivery.objects.values_list("status", "lane")
    assert sorted(rows, key=str) == [("cancelled", None)] * 2
    assert Delivery.objects.lanes_due(LATER) == []
    assert AuditEntry.objects.get(action="event.cancelled").object_id == str(event.pk)


def test_an_other_event_of_its_order_goes_on(moment: Any) -> None:
    account, subscription = ordered(moment)
    event = publish(account=account, type="a", data={"key": 1}, deliver_at=LATER).event
    behind = publish(
        account=account, type="a", data={"key": 1}, deliver_at=LATER + timedelta(seconds=1)
    ).event
    cancel_event(event=event)
    assert claimed(subscription, LATER + DAY) == [behind.pk]


@pytest.mark.parametrize("deliver_at", [None, NOW - DAY, NOW])
def test_once_its_time_has_come_it_cannot_be_cancelled(deliver_at: Any, moment: Any) -> None:
    subscription = make_subscription()
    event = publish(account=subscription.account, type="a", data={}, deliver_at=deliver_at).event
    with pytest.raises(StateNotAllowed):
        cancel_event(event=event)
    assert Delivery.objects.get().status == "pending"
    assert not AuditEntry.objects.filter(action="event.cancelled").exists()


def test_it_is_cancelled_once(moment: Any) -> None:
    event = make_event(deliver_at=LATER)
    cancel_event(event=event)
    with pytest.raises(StateNotAllowed):
        cancel_event(event=event)


def test_in_quarantine_it_is_dropped_and_not_cancelled(moment: Any) -> None:
    event = make_event(deliver_at=LATER, quarantined_at=NOW)
    with pytest.raises(StateNotAllowed):
        cancel_event(event=event)


def test_a_replay_takes_neither_what_waits_nor_what_was_cancelled(moment: Any) -> None:
    account = make_subscription().account
    waits, cancelled, plain = (
        publish(account=account, type="a", data={}, deliver_at=at).event
        for at in (LATER, LATER, None)
    )
    cancel_event(event=cancelled)
    ids = Delivery.objects.values_list("pk", flat=True)
    taken = redeliver(deliveries=ids, trigger=Delivery.Trigger.REPLAY)
    assert taken == [Delivery.objects.get(event=plain).pk]
    assert Delivery.objects.get(event=waits).next_attempt_at == LATER
    assert Delivery.objects.get(event=cancelled).status == "cancelled"


def test_what_a_person_sent_sooner_is_not_taken_back(moment: Any) -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        event = publish(account=subscription.account, type="a", data={}, deliver_at=LATER).event
        redeliver(deliveries=[Delivery.objects.get().pk])
        assert deliver() == 1
    cancel_event(event=event)
    assert Delivery.objects.get().status == "delivered"
