"""What became of an event, and a delivery's whole way."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from outgoing.explaining import Step, explain_event, timeline_of
from outgoing.models import Delivery, Event, Flow
from outgoing.replays import advance_replays, plan_replay, start_replay
from outgoing.selecting import Selection
from outgoing.services import cancel_delivery, publish, redeliver_one, release_event
from subscriptions.models import Subscription
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
        for item in explain_event(event)
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
    assert next(item.subscription.name for item in explain_event(event)) == "got"
    filtered = next(item for item in explain_event(event) if item.reason == "filter")
    assert filtered.clauses[0]["found"] == [1]
    Subscription.objects.filter(name="filtered").update(filter=None)
    assert outcomes(event)["filtered"] == ("not_matched", "filter", True, "")


@pytest.mark.parametrize("state", ["quarantined", "dropped"])
def test_an_event_in_quarantine_goes_to_nobody(account: Account, state: str) -> None:
    make_subscription(account, name="hears")
    event = make_event(account, **{f"{state}_at": NOW})
    assert outcomes(event) == {"hears": ("quarantined", state, False, state)}


def test_an_event_without_data_cannot_be_matched_any_more(account: Account) -> None:
    event = make_event(account, created_at=NOW - MINUTE, body_pruned_at=NOW)
    make_subscription(account, name="late")
    assert outcomes(event) == {"late": ("created_later", "created_later", False, "body_pruned")}


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
    assert api.get(f"outgoing/events/{event.pk}/explain").json == [
        {"subscription": str(got.pk), "subscription_name": "got", "outcome": "delivery",
         "reason": "", "clauses": [], "delivery": str(delivery.pk), "delivery_status": "pending",
         "matches_now": False, "reason_now": ""},
    ]  # fmt: skip
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


@pytest.mark.parametrize("text", ["no", "00000000-0000-7000-8000-000000000000"])
def test_the_command_says_that_there_is_no_such_event(text: str) -> None:
    with pytest.raises(CommandError, match="there is no event") as caught:
        explain(text)
    assert caught.value.returncode == 2
