"""What became of an event, and a delivery's whole way."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from monitoring.models import Activity
from outgoing.explaining import Step, explain_event, timeline_of
from outgoing.models import Delivery, Event, Flow
from outgoing.replays import advance_replays, plan_replay, start_replay
from outgoing.selecting import Selection
from outgoing.services import cancel_delivery, publish, redeliver_one, release_event
from subscriptions.models import Subscription
from subscriptions.services import set_status
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_attempt,
    make_delivery,
    make_event,
    make_retry,
    make_subscription,
)
from webhooks_project.accounts.models import Account, Role
from webhooks_project.lib.actor import Actor, current_actor

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def clock() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def account() -> Account:
    return make_account()


def outcomes(event: Event) -> dict[str, tuple[str, str, bool, str]]:
    return {
        item.subscription.name: (item.outcome, item.reason, item.matches_now, item.reason_now)
        for item in explain_event(event).rows
    }


def kinds(delivery: Delivery) -> list[str]:
    return [step.kind for step in timeline_of(fresh(delivery))]


def fresh(delivery: Delivery) -> Delivery:
    return Delivery.objects.get(pk=delivery.pk)


def last(delivery: Delivery) -> Step:
    return timeline_of(fresh(delivery))[-1]


# --- an event -------------------------------------------------------------------------------------


def test_every_subscription_is_told_and_what_became_of_the_event(
    account: Account, clock: Any
) -> None:
    make_subscription(account, name="got")
    make_subscription(account, name="filtered", filter={"data.amount": 2})
    make_subscription(account, name="channel", channels=["eu"])
    make_subscription(account, name="other type", event_types=("order.made",))
    make_subscription(account, name="draft", status="draft")
    make_subscription()
    event = publish(account=account, type="invoice.paid", data={"amount": 1}).event
    clock.shift(MINUTE)
    make_subscription(account, name="late")
    assert outcomes(event) == {
        "got": ("delivery", "", False, ""),
        "channel": ("not_matched", "channels", False, "channels"),
        "draft": ("not_matched", "subscription_draft", False, "subscription_draft"),
        "filtered": ("not_matched", "filter", False, "filter"),
        "late": ("created_later", "created_later", True, ""),
        "other type": ("not_heard", "event_type", False, "event_type"),
    }
    assert next(item.subscription.name for item in explain_event(event).rows) == "got"
    filtered = next(item for item in explain_event(event).rows if item.reason == "filter")
    assert filtered.clauses[0]["found"] == [1]
    Subscription.objects.filter(name="filtered").update(filter=None)
    assert outcomes(event)["filtered"] == ("not_matched", "filter", True, "")


@pytest.mark.parametrize("state", ["quarantined", "dropped"])
def test_an_event_in_quarantine_goes_to_nobody(account: Account, state: str) -> None:
    make_subscription(account, name="hears")
    event = make_event(account, **{f"{state}_at": NOW})
    assert outcomes(event) == {"hears": ("quarantined", state, False, state)}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"deliver_at": NOW + MINUTE, "cancelled_at": NOW}, "cancelled"),
        ({"deliver_at": NOW + MINUTE}, "scheduled"),
        ({"deliver_at": NOW}, ""),
    ],
)
def test_one_that_was_taken_back_or_waits_for_its_time_is_not_missing(
    account: Account, fields: dict[str, Any], reason: str
) -> None:
    event = make_event(account, created_at=NOW - MINUTE, **fields)
    make_subscription(account, name="late")
    assert outcomes(event) == {"late": ("created_later", "created_later", not reason, reason)}
    replay = plan_replay(Selection(since=NOW - 2 * MINUTE, account=account), "missing")
    assert replay.planned_count == (0 if reason else 1)


def test_an_event_without_data_cannot_be_matched_any_more(account: Account) -> None:
    event = make_event(account, created_at=NOW - MINUTE, body_pruned_at=NOW)
    make_subscription(account, name="late")
    assert outcomes(event) == {"late": ("created_later", "created_later", False, "body_pruned")}


def test_more_subscriptions_than_are_told_at_once_come_in_pages(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgoing.explaining.events.OTHERS_AT_ONCE", 2)
    make_subscription(account, name="got")
    for name in "abcde":
        make_subscription(account, name=name, event_types=("order.made",))
    event = publish(account=account, type="invoice.paid", data={}).event
    pages = [explain_event(event, page=page) for page in (1, 2, 3, 4)]
    assert [[row.subscription.name for row in page.rows] for page in pages] == [
        ["got", "a", "b"], ["c", "d"], ["e"], [],
    ]  # fmt: skip
    assert [(page.count, page.has_more) for page in pages] == [
        (6, True), (6, True), (6, False), (6, False),
    ]  # fmt: skip
    assert explain(str(event.pk))[-1] == "6 subscriptions considered"
    api = Api(make_api_key(account, Role.VIEWER).text)
    path, names = f"outgoing/events/{event.pk}/explain", []
    while path:
        answer = api.get(path).json
        assert answer["count"] == 6
        names.extend(row["subscription_name"] for row in answer["results"])
        path = (answer["next"] or "").partition("/api/v1/webhooks/")[2]
    assert names == ["got", "a", "b", "c", "d", "e"]
    assert api.get(f"outgoing/events/{event.pk}/explain?page=0").errors == {"/page": "min_value"}


# --- a delivery -----------------------------------------------------------------------------------


def test_a_delivery_s_whole_way_in_order(account: Account, clock: Any) -> None:
    subscription = make_subscription(account, name="Shop")
    event = make_event(account, causation_id="receipt:1")
    delivery = make_delivery(event, subscription, status="delivered", attempt_count=1)

    def attempt(trigger: str, **fields: Any) -> None:
        clock.shift(MINUTE)
        make_attempt(delivery, trigger=trigger, **fields)

    attempt("first", outcome="failed", cause="status_5xx", status_code=500)
    attempt("retry", outcome="failed", cause="timeout_response", status_code=None)
    clock.shift(MINUTE)
    token = current_actor.set(Actor("user", "1", "ann"))
    redeliver_one(delivery=delivery)
    attempt("redeliver")
    Delivery.objects.update(status="delivered", lane=None)
    clock.shift(MINUTE)
    replay = start_replay(plan_replay(Selection(since=NOW, account=account)))
    current_actor.reset(token)
    assert advance_replays(NOW + 10 * MINUTE) == 1
    attempt("replay", request_headers={"webhook-replay": str(replay.pk)})
    Delivery.objects.update(status="delivered", lane=None, delivered_at=NOW + 6 * MINUTE)

    steps = timeline_of(fresh(delivery))

    assert [(step.kind, step.text, step.at) for step in steps] == [
        ("published", f"invoice.paid was published as {event.webhook_id}", NOW),
        ("matched", "a delivery to Shop was made", NOW),
        ("failed", "attempt 1 (first) failed: 500", NOW + MINUTE),
        ("failed", "attempt 2 (retry) failed: timeout_response", NOW + 2 * MINUTE),
        ("redelivered", "redelivered by ann", NOW + 3 * MINUTE),
        ("attempted", "attempt 3 (redeliver) succeeded: 200", NOW + 4 * MINUTE),
        ("replayed", "put in line by a replay job of ann", NOW + 6 * MINUTE),
        ("attempted", "attempt 4 (replay) succeeded: 200", NOW + 6 * MINUTE),
        ("delivered", "it was delivered", NOW + 6 * MINUTE),
    ]
    assert steps[0].facts["causation_id"] == "receipt:1"
    assert steps[6].facts == {"replay": replay.pk, "requested_by": "ann"}
    assert steps[7].facts["replay"] == str(replay.pk)


def test_one_that_a_replay_made_and_one_that_was_released(account: Account, clock: Any) -> None:
    event = make_event(account, quarantined_at=NOW)
    make_subscription(account)
    clock.shift(MINUTE)
    release_event(event=event)
    assert kinds(Delivery.objects.get()) == ["published", "matched", "released", "in_line"]
    make_subscription(account, name="Late")
    start_replay(plan_replay(Selection(since=NOW - MINUTE, account=account), "missing"))
    advance_replays(NOW + MINUTE)
    steps = timeline_of(Delivery.objects.get(subscription__name="Late"))
    assert steps[1].text == "a delivery to Late was made, which had not got the event"
    assert [step.kind for step in steps] == [
        "published", "matched", "replayed", "released", "in_line",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"status": "exhausted", "last_cause": "dns"}, "exhausted"),
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "delivering", "leased_until": NOW}, "claimed"),
        ({"next_attempt_at": NOW + MINUTE}, "scheduled"),
        ({}, "in_line"),
    ],
)
def test_how_it_stands_now(fields: dict[str, Any], kind: str) -> None:
    assert last(make_delivery(**fields)).kind == kind


def test_why_it_was_discarded() -> None:
    reason = "nobody took it up within 7 days"
    step = last(make_delivery(status="cancelled", last_cause="dns", discard_reason=reason))
    assert (step.text, step.facts) == (
        f"it is cancelled: {reason}", {"cause": "dns", "reason": reason},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "until"), [("open", NOW + timedelta(seconds=30)), ("half_open", None)]
)
def test_that_it_waits_for_the_breaker(account: Account, state: str, until: Any) -> None:
    subscription = make_subscription(account, breaker=state, breaker_changed_at=NOW)
    step = last(make_delivery(make_event(account), subscription))
    assert step.kind == "waits_for_breaker"
    assert (step.facts["since"], step.facts.get("until")) == (NOW, until)


def breaker_moves(subscription: Subscription, *moves: tuple[int, str]) -> None:
    for minutes, word in moves:
        Activity.objects.create(
            account=subscription.account, kind=f"breaker.{word}", text="-",
            object_type="subscriptions.subscription", object_id=str(subscription.pk),
            created_at=NOW + minutes * MINUTE,
        )  # fmt: skip


def waited(delivery: Delivery, kind: str) -> list[tuple[float, float]]:
    """From and until, in minutes."""
    return [
        tuple((step.facts[name] - NOW) / MINUTE for name in ("since", "until"))
        for step in timeline_of(fresh(delivery))
        if step.kind == kind
    ]


def test_how_long_it_waited_for_the_breaker(account: Account) -> None:
    subscription = make_subscription(account, name="Shop")
    other = make_subscription(account)
    # It opened again after a probe: one time, as it was let alone all the while.
    breaker_moves(subscription, (-9, "opened"), (-8, "closed"), (2, "opened"), (3, "opened"),
                  (5, "closed"), (20, "opened"))  # fmt: skip
    breaker_moves(other, (0, "opened"))
    delivery = make_delivery(make_event(account), subscription, status="delivered")
    # Due at the start, tried after one minute; due again after four, tried after six.
    make_attempt(delivery, number=1, started_at=NOW + MINUTE, queue_wait_ms=60_000)
    make_attempt(delivery, number=2, started_at=NOW + 6 * MINUTE, queue_wait_ms=120_000)
    assert waited(delivery, "waited_for_breaker") == [(4, 5)]
    (step,) = (s for s in timeline_of(delivery) if s.kind == "waited_for_breaker")
    assert (step.at, step.text) == (
        NOW + 4 * MINUTE, "it waited: the breaker of Shop was open",
    )  # fmt: skip
    order = [step.kind for step in timeline_of(delivery)]
    assert order.index("waited_for_breaker") == order.index("attempted") + 1


def test_a_breaker_that_is_set_back_by_a_person_is_closed_in_the_timeline(
    account: Account, clock: Any
) -> None:
    subscription = make_subscription(
        account, status="paused", breaker="open", breaker_changed_at=NOW
    )
    breaker_moves(subscription, (0, "opened"))
    delivery = make_delivery(make_event(account), subscription, lane=2)
    clock.shift(2 * MINUTE)
    set_status(subscription=subscription, status=Subscription.Status.ACTIVE)
    assert waited(delivery, "waited_for_breaker") == [(0, 2)]
    assert last(delivery).kind == "in_line"


def test_when_it_was_held_and_by_whom(account: Account, clock: Any) -> None:
    subscription = make_subscription(account, name="Shop")
    delivery = make_delivery(make_event(account), subscription)
    clock.shift(MINUTE)
    token = current_actor.set(Actor("user", "1", "ann"))
    set_status(subscription=subscription, status=Subscription.Status.PAUSED)
    current_actor.reset(token)
    Delivery.objects.update(status="held", lane=None)
    clock.shift(MINUTE)
    assert kinds(delivery) == ["published", "matched", "held"]
    set_status(subscription=fresh(delivery).subscription, status=Subscription.Status.ACTIVE)
    clock.shift(MINUTE)
    make_attempt(delivery, number=1, queue_wait_ms=180_000)
    Delivery.objects.update(status="delivered", delivered_at=NOW + 3 * MINUTE)
    steps = timeline_of(fresh(delivery))
    assert [(step.kind, step.text, step.at) for step in steps[2:]] == [
        ("was_held", "it was held: Shop was paused by ann", NOW + MINUTE),
        ("attempted", "attempt 1 (first) succeeded: 200", NOW + 3 * MINUTE),
        ("delivered", "it was delivered", NOW + 3 * MINUTE),
    ]
    assert waited(delivery, "was_held") == [(1, 2)]
    # What came later was never held.
    late = make_delivery(make_event(account), subscription)
    assert waited(late, "was_held") == []


def test_since_when_it_is_held(account: Account) -> None:
    subscription = make_subscription(
        account, status="paused", paused_at=NOW + MINUTE, status_reason="they asked"
    )
    step = last(make_delivery(None, subscription, status="held"))
    assert (step.kind, step.text) == ("held", "it is held: the subscription is paused")
    assert step.facts == {"since": NOW + MINUTE, "reason": "they asked"}


def test_which_retry_it_waits_for() -> None:
    delivery = make_delivery(lane=None, attempt_count=1, trigger="retry")
    make_retry(delivery, due_at=NOW + MINUTE)
    step = last(delivery)
    assert (step.kind, step.text) == ("retry", "attempt 2 is due, after status_5xx")
    assert step.facts["due_at"] == NOW + MINUTE


def test_which_delivery_of_its_order_key_it_is_parked_behind(account: Account) -> None:
    subscription = make_subscription(account, ordering="strict", order_key="data.id")
    done, first, second = (
        make_delivery(
            make_event(account), subscription, status=status, order_key="7", lane=None,
        )
        for status in ("delivered", "exhausted", "pending")
    )  # fmt: skip
    make_delivery(make_event(account), subscription, status="exhausted", order_key="8")
    step = last(second)
    assert (step.kind, step.facts) == ("parked", {"delivery": first.pk, "order_key": "7"})
    cancel_delivery(delivery=first)
    assert last(second).kind == "in_line"
    assert done.status == "delivered"


def test_which_limit_it_waits_for(account: Account) -> None:
    def waiting(**limits: Any) -> Delivery:
        subscription = make_subscription(account, **limits)
        return make_delivery(make_event(account), subscription, lane=2)

    closed = {"days": ["mon"], "from": "09:00", "until": "10:00", "time_zone": "UTC"}
    step = last(waiting(delivery_window=closed))
    assert (step.kind, step.facts["until"].isoformat()) == (
        "waits_for_window", "2026-03-09T09:00:00+00:00",
    )  # fmt: skip
    assert last(waiting(batch_size=10, batch_seconds=5)).facts == {
        "batch_size": 10, "batch_seconds": 5,
    }  # fmt: skip
    limited = waiting(rate_limit=1, rate_period="minute")
    assert last(limited).kind == "in_line"
    Flow.objects.create(subscription=limited.subscription, starts=[[int(NOW.timestamp()), 1]])
    step = last(limited)
    assert (step.kind, step.facts["until"]) == ("waits_for_rate", NOW + timedelta(seconds=61))


# --- where it is shown ----------------------------------------------------------------------------


def test_the_api_explains(account: Account) -> None:
    got = make_subscription(account, name="got")
    event = publish(account=account, type="invoice.paid", data={}).event
    delivery = Delivery.objects.get()
    api = Api(make_api_key(account, Role.VIEWER).text)
    assert api.get(f"outgoing/events/{event.pk}/explain").json == {
        "count": 1,
        "next": None,
        "results": [
            {"subscription": str(got.pk), "subscription_name": "got", "outcome": "delivery",
             "reason": "", "clauses": [], "delivery": str(delivery.pk),
             "delivery_status": "pending", "matches_now": False, "reason_now": ""},
        ],
    }  # fmt: skip
    steps = api.get(f"outgoing/deliveries/{delivery.pk}/timeline").json
    assert steps[1:] == [
        {"at": "2026-03-04T12:00:00Z", "kind": "matched", "text": "a delivery to got was made",
         "facts": {"subscription": str(got.pk)}},
        {"at": None, "kind": "in_line", "text": "it stands in line",
         "facts": {"since": "2026-03-04T12:00:00Z"}},
    ]  # fmt: skip


def explain(*given: str) -> list[str]:
    out = io.StringIO()
    call_command("explain", *given, stdout=out)
    return out.getvalue().splitlines()


def test_the_command_explains(account: Account) -> None:
    got = make_subscription(account, name="got")
    other = make_subscription(account, name="other", event_types=("order.made",))
    event = publish(account=account, type="invoice.paid", data={}).event
    delivery = Delivery.objects.get()
    lines = explain(event.webhook_id)
    assert lines == [
        f"invoice.paid {event.webhook_id}, created 2026-03-04T12:00:00Z",
        f"  got {got.pk}: pending, delivery {delivery.pk}",
        f"    2026-03-04T12:00:00.000000Z invoice.paid was published as {event.webhook_id}",
        "    2026-03-04T12:00:00.000000Z a delivery to got was made",
        "    now                         it stands in line",
        f"  other {other.pk}: not_heard, event_type; now: event_type",
        "2 subscriptions considered",
    ]
    (line,) = explain(str(event.pk), "--json")
    said = json.loads(line)
    assert [row["outcome"] for row in said["subscriptions"]] == ["delivery", "not_heard"]
    assert [step["kind"] for step in said["subscriptions"][0]["timeline"]] == [
        "published", "matched", "in_line",
    ]  # fmt: skip
    published = said["subscriptions"][0]["timeline"][0]
    assert (published["at"], published["facts"]["occurred_at"]) == ("2026-03-04T12:00:00Z",) * 2


@pytest.mark.parametrize("text", ["no", "00000000-0000-7000-8000-000000000000"])
def test_the_command_says_that_there_is_no_such_event(text: str) -> None:
    with pytest.raises(CommandError, match="there is no event") as caught:
        explain(text)
    assert caught.value.returncode == 2
