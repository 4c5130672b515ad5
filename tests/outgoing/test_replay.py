"""Past events carried again, as a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import OperationalError

from monitoring.models import Activity, AuditEntry
from outgoing import replays, retries
from outgoing.errors import SelectionNotAcceptable, StateNotAllowed
from outgoing.models import Attempt, Delivery, Event, Replay
from outgoing.replays import (
    advance_replays,
    cancel_replay,
    carrying,
    deliveries_to_replay,
    live_limit,
    pause_replay,
    plan_replay,
    resume_replay,
    start_replay,
)
from outgoing.replays.carrying import Pace
from outgoing.selecting import Selection
from outgoing.services import redeliver
from subscriptions.models import Subscription
from subscriptions.services import set_status
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_subscription,
)
from tests.outgoing.pump import Turn
from webhooks_project.accounts.models import Account
from webhooks_project.lib.actor import Actor, current_actor

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SINCE, UNTIL = NOW - 5 * HOUR, NOW - HOUR
PERIOD = {"since": SINCE, "until": UNTIL}


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def past(account: Account, *, ago: timedelta = 2 * HOUR, **fields: Any) -> Delivery:
    event_fields = {
        name: fields.pop(name)
        for name in ("type", "data", "channels", "body_pruned_at", "expunged_at")
        if name in fields
    }
    subscription = fields.pop("subscription", None) or make_subscription(account)
    event = make_event(account, created_at=NOW - ago, **event_fields)
    return make_delivery(
        event, subscription, **{"status": "delivered", "attempt_count": 3} | fields
    )


def found(kind: str = "replay", **fields: Any) -> set[Delivery]:
    return set(deliveries_to_replay(kind, Selection(**PERIOD | fields).checked()))


def plan(account: Account | None, kind: str = "replay", **fields: Any) -> Replay:
    return plan_replay(Selection(**{**PERIOD, "account": account} | fields), kind)


def run(replay: Replay) -> Replay:
    """To the end, as if what is in line were carried at once."""
    start_replay(replay)
    for _ in range(50):
        advance_replays(NOW)
        replay.refresh_from_db()
        if replay.status != "running":
            return replay
        Delivery.objects.filter(replay=replay, lane__isnull=False).update(
            lane=None, status="delivered", attempt_count=9
        )
    raise AssertionError("it did not end")


def taken() -> set[Delivery]:
    return set(Delivery.objects.filter(trigger="replay"))


# --- what is meant --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago", "is_taken"),
    [
        (5 * HOUR, True),
        (5 * HOUR + timedelta(microseconds=1), False),
        (HOUR, False),
        (HOUR + timedelta(microseconds=1), True),
    ],
)
def test_takes_the_period_from_its_start_up_to_its_end(ago: timedelta, is_taken: bool) -> None:
    account = make_account()
    past(account, ago=ago)
    assert len(found(account=account)) == is_taken


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("", 5),
        ("invoice.paid", 1),
        ("invoice.*", 2),
        ("Invoice.*", 1),
        ("INVOICE.*", 0),
        ("invoice*", 3),
        ("*", 5),
        ("nothing", 0),
    ],
)
def test_takes_a_type_or_a_name_with_a_star_to_the_letter(pattern: str, count: int) -> None:
    account = make_account()
    for name in ("invoice.paid", "invoice.sent", "Invoice.sent", "invoices", "order"):
        past(account, type=name)
    assert len(found(account=account, event_type=pattern)) == count


def test_takes_only_the_account_and_the_subscription_that_are_named() -> None:
    account = make_account()
    mine, other = past(account), past(make_account())
    beside = past(account)
    assert found() == {mine, other, beside}
    assert found(account=account) == {mine, beside}
    assert found(subscription=mine.subscription) == {mine}


def test_takes_what_has_ended_and_recovers_what_failed() -> None:
    account = make_account()
    rows = {
        status: past(account, status=status)
        for status in ("delivered", "exhausted", "cancelled", "held", "pending", "delivering")
    }
    past(account, subscription=make_subscription(account, status="archived"), status="exhausted")
    past(account, status="exhausted", body_pruned_at=NOW)
    past(account, status="exhausted", expunged_at=NOW)
    ended = {rows[status] for status in ("delivered", "exhausted", "cancelled")}
    assert found(account=account) == ended
    assert found(account=account, statuses=["delivered"]) == {rows["delivered"]}
    assert found("recover", account=account) == {rows["exhausted"]}


@pytest.mark.parametrize(
    ("fields", "numbers"),
    [
        ({"channel": "eu"}, {1, 2}),
        ({"filter": {"data.amount": {"$gte": 2}}}, {2, 3}),
        ({"channel": "eu", "filter": {"data.amount": {"$gte": 2}}}, {2}),
        ({"filter": {"type": "nothing"}}, set()),
    ],
)
def test_takes_a_channel_and_what_passes_a_filter(fields: Any, numbers: set[int]) -> None:
    account = make_account()
    rows = {
        number: past(account, data={"amount": number}, channels=channels)
        for number, channels in ((1, ["eu"]), (2, ["us", "eu"]), (3, ["us"]))
    }
    replay = plan(account, **fields)
    assert (replay.planned_count, replay.plan["is_complete"]) == (len(numbers), True)
    assert run(replay).redelivered_count == len(numbers)
    assert taken() == {rows[number] for number in numbers}


@pytest.mark.parametrize("fields", [{}, {"channel": "eu"}, {"filter": {"type": "invoice.paid"}}])
def test_what_is_left_out_is_told_also_where_events_are_asked(fields: Any) -> None:
    account = make_account()
    past(account, channels=["eu"])
    past(account, channels=["eu"], status="held")
    past(account, channels=["eu"], body_pruned_at=NOW)
    archived = make_subscription(account, status="archived")
    past(account, channels=["eu"], subscription=archived)
    replay = plan(account, **fields)
    assert replay.plan["left_out"] == {"archived": 1, "body_pruned": 1, "waiting": 1}
    assert (replay.planned_count, run(replay).redelivered_count) == (1, 1)


def test_a_filter_looks_at_many_events_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outgoing.selecting.SCAN_ROWS", 2)
    account = make_account()
    for number in range(7):
        past(account, data={"amount": number}, ago=3 * HOUR - timedelta(minutes=number))
    replay = run(plan(account, filter={"data.amount": {"$in": [0, 6]}}))
    assert (replay.planned_count, replay.redelivered_count) == (2, 2)


def test_a_plan_that_would_look_at_too_many_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outgoing.selecting.SCAN_ROWS", 2)
    monkeypatch.setattr(replays.planning, "SCAN_ROWS", 2)
    monkeypatch.setattr(replays.planning, "MAX_COUNTED", 4)
    account = make_account()
    for _ in range(7):
        past(account, channels=["eu"])
    replay = plan(account, channel="eu")
    assert (replay.planned_count, replay.plan["is_complete"]) == (4, False)
    assert run(replay).redelivered_count == 7


@pytest.mark.parametrize("kind", ["replay", "missing"])
def test_a_plan_stops_at_that_many_too_where_hardly_any_fits(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("outgoing.selecting.SCAN_ROWS", 2)
    monkeypatch.setattr(replays.planning, "SCAN_ROWS", 2)
    monkeypatch.setattr(replays.planning, "MAX_COUNTED", 4)
    account = make_account()
    for number in range(7):
        past(account, data={"amount": number}, ago=3 * HOUR - timedelta(minutes=number))
    make_subscription(account)
    replay = plan(account, kind=kind, filter={"data.amount": 6})
    assert (replay.planned_count, replay.plan["is_complete"]) == (0, False)


@pytest.mark.parametrize(
    ("fields", "kind", "name"),
    [
        ({"since": None}, "replay", "since"),
        ({"since": UNTIL}, "replay", "since"),
        ({"since": NOW, "until": NOW + HOUR}, "replay", "since"),
        ({"event_type": "a*b"}, "replay", "event_type"),
        ({"statuses": ["gone"]}, "replay", "statuses"),
        ({"statuses": ["delivered"]}, "recover", "statuses"),
        ({"filter": {"data": {"$no": 1}}}, "replay", "filter"),
        ({"filter": []}, "replay", "filter"),
    ],
)
def test_plans_nothing_that_cannot_be_meant(fields: Any, kind: str, name: str) -> None:
    with pytest.raises(SelectionNotAcceptable) as caught:
        plan(make_account(), kind, **fields)
    assert caught.value.extra["field"] == name
    assert not Replay.objects.exists()
    assert not AuditEntry.objects.exists()


def test_the_subscription_is_of_the_account() -> None:
    subscription = make_subscription()
    with pytest.raises(SelectionNotAcceptable):
        plan(make_account(), subscription=subscription)
    assert plan(None, subscription=subscription).account == subscription.account


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_counts_by_type_and_subscription_and_sends_nothing() -> None:
    account = make_account()
    shop = make_subscription(account, name="Shop")
    bank = make_subscription(account, name="Bank")
    past(account, subscription=shop, ago=4 * HOUR)
    past(account, subscription=shop, status="exhausted")
    past(account, subscription=bank)
    past(account, subscription=bank, type="order.made")
    past(account, subscription=bank, status="held")
    past(account, body_pruned_at=NOW)
    past(account, subscription=make_subscription(account, status="archived"))
    before = list(Delivery.objects.order_by("pk").values())

    token = current_actor.set(Actor("user", "1", "ann"))
    replay = plan(account)
    current_actor.reset(token)

    def row(event_type: str, subscription: Any, count: int) -> dict[str, Any]:
        return {"event_type": event_type, "subscription": str(subscription.pk),
                "subscription_name": subscription.name, "count": count}  # fmt: skip

    assert replay.plan == {
        "count": 4,
        "oldest": "2026-03-04T08:00:00Z",
        "deliveries": [
            row("invoice.paid", bank, 1), row("invoice.paid", shop, 2), row("order.made", bank, 1),
        ],
        "left_out": {"archived": 1, "body_pruned": 1, "waiting": 1},
        "estimated_seconds": 0,
        "is_complete": True,
    }  # fmt: skip
    assert (replay.status, replay.planned_count, replay.redelivered_count) == ("planned", 4, 0)
    assert replay.requested_by == "ann"
    assert list(Delivery.objects.order_by("pk").values()) == before
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_label) == ("replay.planned", "ann")
    assert orjson.loads(entry.after)["count"] == 4


def test_the_estimate_goes_by_the_subscriptions_limits() -> None:
    account = make_account()
    slow = make_subscription(account, rate_limit=6, rate_period="minute")
    held = make_subscription(account, rate_limit=1, rate_period="hour", status="paused")
    for subscription in (slow, slow, slow, held):
        past(account, subscription=subscription)
    assert plan(account).plan["estimated_seconds"] == 30


def test_the_estimate_goes_by_how_long_attempts_took() -> None:
    account = make_account()
    narrow = make_subscription(account, max_in_flight=1)
    for _ in range(4):
        make_attempt(past(account, subscription=narrow), duration_ms=2_000)
    assert plan(account).plan["estimated_seconds"] == 8


# --- carrying it out ------------------------------------------------------------------------------


def test_a_run_puts_every_delivery_of_the_plan_back_in_line() -> None:
    account = make_account()
    rows = [past(account) for _ in range(3)]
    outside = past(account, ago=9 * HOUR)
    replay = start_replay(plan(account))
    assert (replay.status, replay.started_at, replay.redelivered_count) == ("running", NOW, 0)
    assert advance_replays(NOW) == 3
    assert advance_replays(NOW) == 0
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count, replay.finished_at) == ("finished", 3, NOW)
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.lane, row.trigger) == ("pending", Delivery.Lane.AGAIN, "replay")
        # The whole retry schedule is before it.
        assert (row.replay, row.attempt_count, row.attempts_before) == (replay, 3, 3)
    outside.refresh_from_db()
    assert (outside.status, outside.replay) == ("delivered", None)
    assert Delivery.objects.count() == 4
    actions = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == ["replay.planned", "replay.started"]
    assert Activity.objects.get().text == ("3 of 3 planned deliveries were put in line again.")


def test_the_retry_pump_moves_jobs_on(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    past(account)
    replay = start_replay(plan(account))
    monkeypatch.setattr(retries, "LOOK_SECONDS", 0)
    monkeypatch.setattr(replays.carrying, "LOOK_SECONDS", 0)
    turn = Turn(until=lambda: turn.passes > 4)
    assert retries.run_retry_pump(turn) == 0
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("finished", 1)


def test_a_job_of_an_older_release_that_was_cut_off_takes_nothing_twice() -> None:
    account = make_account()
    replay = plan(account)
    past(account, replay=replay)
    rest = past(account)
    Replay.objects.update(status="running", redelivered_count=1)
    assert advance_replays(NOW) == 1
    assert taken() == {rest}


def test_only_so_many_of_a_job_wait_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays.pacing, "MAX_WAITING", 3)
    account = make_account()
    for minutes in range(5):
        past(account, ago=3 * HOUR - timedelta(minutes=minutes))
    replay = start_replay(plan(account))
    assert [advance_replays(NOW) for _ in range(2)] == [3, 0]
    carried = Delivery.objects.filter(lane__isnull=False).order_by("event__created_at").first()
    assert carried is not None
    Delivery.objects.filter(pk=carried.pk).update(lane=None, status="delivered")
    assert [advance_replays(NOW) for _ in range(2)] == [1, 0]
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("running", 4)


def test_a_job_goes_on_behind_its_last_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays.pacing, "BATCH_ROWS", 2)
    account = make_account()
    # All of one moment: the key decides.
    rows = [past(account) for _ in range(5)]
    replay = start_replay(plan(account))
    assert advance_replays(NOW) == 2
    Delivery.objects.filter(replay=replay).update(status="delivered", lane=None)

    def cut_off(**_: Any) -> None:
        Delivery.objects.update(trigger="replay")
        raise OperationalError("away")

    with monkeypatch.context() as patch:
        patch.setattr("outgoing.services.redeliver", cut_off)
        with pytest.raises(OperationalError):
            advance_replays(NOW)
    assert len(taken()) == 2
    assert [advance_replays(NOW) for _ in range(3)] == [2, 1, 0]
    assert taken() == set(rows)
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("finished", 5)


def test_one_that_fails_says_why_and_can_be_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    past(account)
    replay = start_replay(plan(account))

    def fail(**_: Any) -> None:
        Delivery.objects.update(trigger="replay")
        raise RuntimeError("no")

    with monkeypatch.context() as patch:
        patch.setattr("outgoing.services.redeliver", fail)
        assert advance_replays(NOW) == 0
    assert Delivery.objects.get().trigger == "first"
    replay.refresh_from_db()
    assert (replay.status, replay.error, replay.finished_at) == ("failed", "RuntimeError: no", NOW)
    start_replay(replay)
    assert (replay.status, replay.error, replay.finished_at) == ("running", "", None)
    assert advance_replays(NOW) == 1


@pytest.mark.parametrize("status", ["running", "finished", "cancelled"])
def test_runs_no_replay_twice(status: str) -> None:
    account = make_account()
    past(account)
    replay = plan(account)
    Replay.objects.update(status=status)
    with pytest.raises(StateNotAllowed, match=f"the replay is {status}"):
        start_replay(replay)
    assert AuditEntry.objects.count() == 1


def test_so_many_of_an_account_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays.jobs, "MAX_RUNNING", 1)
    account = make_account()
    start_replay(plan(account))
    second = plan(account)
    with pytest.raises(StateNotAllowed, match="1 replays are running"):
        start_replay(second)
    start_replay(plan(make_account()))


def test_pause_resume_and_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays.pacing, "BATCH_ROWS", 1)
    account = make_account()
    for _ in range(4):
        past(account)
    replay = plan(account)
    with pytest.raises(StateNotAllowed):
        pause_replay(replay)
    start_replay(replay)
    assert advance_replays(NOW) == 1
    assert pause_replay(replay).paused_at == NOW
    assert advance_replays(NOW) == 0
    assert resume_replay(replay).paused_at is None
    with pytest.raises(StateNotAllowed, match="only a paused replay is resumed"):
        resume_replay(replay)
    assert advance_replays(NOW) == 1
    pause_replay(replay)
    cancelled = cancel_replay(replay)
    assert (cancelled.status, cancelled.paused_at, cancelled.finished_at) == (
        "cancelled", None, NOW,
    )  # fmt: skip
    assert cancelled.redelivered_count == 2
    assert advance_replays(NOW) == 0
    assert len(taken()) == 2
    for act in (cancel_replay, pause_replay, resume_replay, start_replay):
        with pytest.raises(StateNotAllowed):
            act(replay)
    actions = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions) == [
        "replay.planned", "replay.started", "replay.paused", "replay.resumed", "replay.paused",
        "replay.cancelled",
    ]  # fmt: skip


def test_of_two_jobs_that_want_a_delivery_the_second_passes_over_what_waits() -> None:
    account = make_account()
    row = past(account)
    first, second = start_replay(plan(account)), start_replay(plan(account))
    assert advance_replays(NOW) == 1
    row.refresh_from_db()
    assert row.replay in (first, second)
    assert advance_replays(NOW) == 0
    counts = Replay.objects.order_by("redelivered_count").values_list("redelivered_count", "status")
    assert list(counts) == [(0, "finished"), (1, "finished")]


def test_what_a_person_redelivers_between_the_look_and_the_lock_is_passed_over() -> None:
    account = make_account()
    row = past(account)
    redeliver(deliveries=[row.pk])
    assert redeliver(deliveries=[row.pk], trigger="replay", statuses=replays.ENDED) == []
    row.refresh_from_db()
    assert row.trigger == "redeliver"


def test_a_replay_over_all_accounts_runs_too() -> None:
    past(make_account())
    past(make_account())
    assert run(plan(None)).redelivered_count == 2


def test_deliveries_of_a_paused_subscription_become_held() -> None:
    account = make_account()
    past(account, subscription=make_subscription(account, status="paused"))
    start_replay(plan(account))
    assert advance_replays(NOW) == 1
    assert Delivery.objects.get().status == "held"


# --- its pace -------------------------------------------------------------------------------------


def attempts(count: int, *, wait_ms: float, trigger: str = "first", ago: float = 1) -> None:
    delivery = make_delivery(status="delivered")
    for _ in range(count):
        make_attempt(
            delivery,
            trigger=trigger,
            queue_wait_ms=wait_ms,
            started_at=NOW - timedelta(seconds=ago),
        )


def test_nothing_but_its_own_line_holds_a_job_back_while_live_traffic_flows() -> None:
    attempts(20, wait_ms=5)
    # One endpoint that hangs has a backlog of its own, and few attempts.
    attempts(5, wait_ms=60_000)
    attempts(50, wait_ms=60_000, trigger="replay")
    attempts(100, wait_ms=60_000, ago=6)
    assert live_limit(NOW) is None


def test_a_job_gets_1_of_100_while_live_traffic_is_behind() -> None:
    attempts(200, wait_ms=260)
    # 200 a second, and a round every other second.
    assert live_limit(NOW) == 4


def test_where_more_is_sent_than_is_looked_at_the_part_is_of_all() -> None:
    attempts(410, wait_ms=900, ago=0.05)
    # 400 are looked at: 8,000 a second.
    assert live_limit(NOW) == 160


def test_while_live_traffic_is_behind_jobs_are_moved_on_every_other_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    account = make_account()
    for _ in range(8):
        past(account)
    start_replay(plan(account))
    pace = Pace()

    def advanced_at(moment: float) -> int:
        monkeypatch.setattr(carrying.time, "monotonic", lambda: moment)
        return pace.advance(NOW)

    attempts(110, wait_ms=900)
    assert [advanced_at(moment) for moment in (100.0, 101.9, 102.0)] == [2, 0, 2]
    Attempt.objects.all().delete()
    assert [advanced_at(moment) for moment in (104.0, 104.2, 104.3)] == [4, 0, 0]
    assert Replay.objects.get().redelivered_count == 8


def test_a_job_begins_with_few_and_takes_as_many_again_as_it_has_had() -> None:
    account = make_account()
    subscription = make_subscription(account)
    for _ in range(70):
        past(account, subscription=subscription)
    replay = start_replay(plan(account, subscription=subscription))
    counts = []
    for _ in range(3):
        counts.append(advance_replays(NOW))
        Delivery.objects.filter(replay=replay).update(status="delivered", lane=None)
    assert counts == [20, 20, 30]


def test_live_traffic_that_is_slow_and_behind_leaves_one_in_a_round() -> None:
    attempts(3, wait_ms=900)
    assert live_limit(NOW) == 1


def test_all_jobs_share_what_live_traffic_leaves() -> None:
    account = make_account()
    for _ in range(3):
        past(account)
        past(account, type="order.made")
    start_replay(plan(account, event_type="order.made"))
    start_replay(plan(account, event_type="invoice.paid"))
    attempts(110, wait_ms=900)
    assert [advance_replays(NOW) for _ in range(3)] == [2, 2, 2]
    # Who has had least comes first.
    assert sorted(Replay.objects.values_list("redelivered_count", flat=True)) == [3, 3]


# --- what a subscription never got ----------------------------------------------------------------


def test_what_was_missed_is_made_and_what_was_got_is_not() -> None:
    account = make_account()
    early = make_subscription(account, name="Early")
    got = past(account, subscription=early, channels=["eu"])
    make_event(account, type="order.made", created_at=NOW - 2 * HOUR)
    make_event(account, created_at=NOW - 2 * HOUR, quarantined_at=NOW)
    make_event(account, created_at=NOW - 2 * HOUR, dropped_at=NOW)
    make_event(account, created_at=NOW - 2 * HOUR, body_pruned_at=NOW)
    make_event(account, created_at=NOW - 6 * HOUR)
    late = make_subscription(account, name="Late", event_types=("invoice.*",))
    replay = plan(account, "missing", subscription=late)
    assert replay.plan["deliveries"] == [
        {"event_type": "invoice.paid", "subscription": str(late.pk), "subscription_name": "Late",
         "count": 1},
    ]  # fmt: skip
    assert not Delivery.objects.filter(subscription=late).exists()
    start_replay(replay)
    assert advance_replays(NOW) == 1
    assert advance_replays(NOW) == 0
    made = Delivery.objects.get(subscription=late)
    assert (made.event, made.status, made.lane) == (got.event, "pending", Delivery.Lane.AGAIN)
    assert (made.trigger, made.replay, made.created_at) == ("replay", replay, NOW)
    assert (made.attempt_count, made.attempts_before) == (0, 0)
    got.refresh_from_db()
    assert (got.status, got.replay) == ("delivered", None)
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("finished", 1)
    # And once more there is nothing that is missing.
    assert plan(account, "missing", subscription=late).planned_count == 0


def test_a_filter_that_was_changed_lets_through_what_it_kept_back() -> None:
    account = make_account()
    subscription = make_subscription(account, filter={"data.amount": 1})
    event = make_event(
        account,
        created_at=NOW - 2 * HOUR,
        data={"amount": 2},
        not_matched=[{"subscription": str(subscription.pk), "reason": "filter"}],
    )
    assert plan(account, "missing").planned_count == 0
    subscription.filter = {"data.amount": 2}
    subscription.save()
    assert run(plan(account, "missing")).redelivered_count == 1
    assert Delivery.objects.get().event == event


def test_all_subscriptions_of_an_event_count_and_who_pauses_has_it_held() -> None:
    account = make_account()
    make_event(account, created_at=NOW - 2 * HOUR)
    for status in ("active", "paused", "archived"):
        make_subscription(account, status=status)
    make_subscription(account, max_in_flight=1)
    assert run_missing(account) == 3
    rows = Delivery.objects.order_by("status", "lane").values_list("status", "lane")
    assert list(rows) == [("held", None), ("pending", 1), ("pending", 2)]


def run_missing(account: Account) -> int:
    start_replay(plan(account, "missing"))
    return advance_replays(NOW)


def test_an_event_about_a_subscription_still_does_not_go_to_it() -> None:
    account = make_account()
    subscription = make_subscription(account, event_types=("webhooks.*",))
    make_event(
        account,
        type="webhooks.endpoint.failing",
        created_at=NOW - 2 * HOUR,
        not_matched=[{"subscription": str(subscription.pk), "reason": "event_about_itself"}],
    )
    assert plan(account, "missing").planned_count == 0


def test_missing_ones_are_made_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays.pacing, "MAX_WAITING", 2)
    account = make_account()
    for minutes in range(5):
        make_event(account, created_at=NOW - 3 * HOUR + timedelta(minutes=minutes))
    make_subscription(account)
    replay = start_replay(plan(account, "missing"))
    counts = []
    while replay.status == "running":
        counts.append(advance_replays(NOW))
        Delivery.objects.update(lane=None, status="delivered")
        replay.refresh_from_db()
    assert counts == [2, 2, 1, 0]
    assert replay.redelivered_count == Delivery.objects.count() == 5


def test_one_that_came_about_meanwhile_is_passed_over() -> None:
    account = make_account()
    event = make_event(account, created_at=NOW - 2 * HOUR)
    subscription = make_subscription(account)
    replay = start_replay(plan(account, "missing"))
    assert replay.planned_count == 1
    row = make_delivery(event, subscription, status="delivered")
    assert advance_replays(NOW) == 0
    assert Delivery.objects.get() == row


def test_nobody_is_resumed_by_a_replay() -> None:
    account = make_account()
    row = past(account, status="exhausted")
    set_status(subscription=row.subscription, status="disabled")
    assert run(plan(account, "recover")).redelivered_count == 1
    row.refresh_from_db()
    assert row.status == "held"


# --- one subscription that is slower than the others ----------------------------------------------


def carry(*subscriptions: Subscription) -> None:
    """As if what is in line for these were carried at once."""
    Delivery.objects.filter(subscription__in=subscriptions, lane__isnull=False).update(
        lane=None, status="delivered"
    )


def in_line(subscription: Subscription) -> int:
    return Delivery.objects.filter(subscription=subscription, lane__isnull=False).count()


@pytest.mark.parametrize("kind", ["replay", "missing"])
@pytest.mark.parametrize(
    ("limits", "waits"),
    [
        ({"rate_limit": 1, "rate_period": "minute"}, 1),
        ({"rate_limit": 1, "rate_period": "second"}, 5),
        ({"rate_limit": 1, "rate_period": "minute", "batch_size": 3}, 3),
        ({}, 10),
    ],
)
def test_a_slow_subscription_holds_back_none_of_the_others(
    monkeypatch: pytest.MonkeyPatch, kind: str, limits: Any, waits: int
) -> None:
    monkeypatch.setattr(replays.pacing, "MAX_WAITING", 10)
    account = make_account()
    for minutes in range(30):
        make_event(account, created_at=NOW - 3 * HOUR + timedelta(minutes=minutes))
    slow, quick = make_subscription(account, **limits), make_subscription(account)
    if kind == "replay":
        for event in Event.objects.all():
            for subscription in (slow, quick):
                make_delivery(event, subscription, status="delivered", attempt_count=1)
    replay = start_replay(plan(account, kind))
    assert replay.planned_count == 60
    for _ in range(20):
        advance_replays(NOW)
        assert in_line(slow) <= waits
        carry(quick)
    replayed = Delivery.objects.filter(replay=replay)
    assert replayed.filter(subscription=quick).count() == 30
    assert in_line(slow) == replayed.filter(subscription=slow).count() == waits
    replay.refresh_from_db()
    assert replay.status == "running"
    assert list(replay.lagging) == [str(slow.pk)]
    for _ in range(40):
        carry(slow)
        advance_replays(NOW)
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count, replay.lagging) == ("finished", 60, {})
    # Each once, and no other way than by this job.
    assert replayed.count() == Delivery.objects.count() == 60


@pytest.mark.parametrize("kind", ["replay", "missing"])
def test_a_round_puts_no_more_in_line_however_many_lag(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(replays.pacing, "MAX_WAITING", 8)
    monkeypatch.setattr(replays.pacing, "BATCH_ROWS", 8)
    monkeypatch.setattr(replays.carrying, "BATCH_ROWS", 8)
    account = make_account()
    events = [make_event(account, created_at=NOW - 3 * HOUR) for _ in range(12)]
    subscriptions = [make_subscription(account) for _ in range(3)]
    if kind == "replay":
        for event in events:
            for subscription in subscriptions:
                make_delivery(event, subscription, status="delivered", attempt_count=1)
    replay = start_replay(plan(account, kind))
    counts = []
    for _ in range(30):
        counts.append(advance_replays(NOW))
        replay.refresh_from_db()
        carry(*subscriptions)
        if replay.status == "finished":
            break
    assert (replay.status, sum(counts), replay.redelivered_count) == ("finished", 36, 36)
    # An event is made whole: then it may be some more.
    assert max(counts) <= (8 if kind == "replay" else 10)
    assert Delivery.objects.count() == 36


def test_one_that_is_slow_alone_has_no_more_in_line_than_it_takes() -> None:
    account = make_account()
    slow = make_subscription(account, rate_limit=2, rate_period="second")
    for _ in range(30):
        past(account, subscription=slow)
    replay = start_replay(plan(account, subscription=slow))
    assert [advance_replays(NOW) for _ in range(2)] == [10, 0]
    for _ in range(4):
        carry(slow)
        advance_replays(NOW)
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count, replay.lagging) == ("finished", 30, {})


@pytest.mark.parametrize("kind", ["replay", "missing"])
def test_where_too_many_are_slow_the_job_waits_for_them(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(replays.carrying, "MAX_LAGGING", 1)
    account = make_account()
    events = [make_event(account, created_at=NOW - 3 * HOUR) for _ in range(5)]
    limits = {"rate_limit": 1, "rate_period": "hour"}
    slow = [make_subscription(account, **limits) for _ in range(2)]
    quick = make_subscription(account)
    if kind == "replay":
        for event in events:
            for subscription in (*slow, quick):
                make_delivery(event, subscription, status="delivered", attempt_count=1)
    replay = start_replay(plan(account, kind))
    for _ in range(10):
        advance_replays(NOW)
        carry(quick)
    replay.refresh_from_db()
    assert len(replay.lagging) <= 1
    assert [in_line(one) for one in slow] == [1, 1]
    for _ in range(30):
        carry(*slow, quick)
        advance_replays(NOW)
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("finished", 15)


def test_a_job_of_a_deleted_slow_subscription_ends() -> None:
    account = make_account()
    slow = make_subscription(account, rate_limit=1, rate_period="hour")
    for _ in range(3):
        past(account, subscription=slow)
    replay = start_replay(plan(account))
    advance_replays(NOW)
    replay.refresh_from_db()
    assert list(replay.lagging) == [str(slow.pk)]
    slow.delete()
    for _ in range(3):
        advance_replays(NOW)
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count) == ("finished", 1)


def test_what_another_pump_has_moved_on_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    slow = make_subscription(account, rate_limit=1, rate_period="hour")
    rows = [past(account, subscription=slow) for _ in range(3)]
    replay = start_replay(plan(account))
    advance_replays(NOW)
    carry(slow)
    page = replays.carrying.page_of_deliveries
    looked: list[int] = []

    def meanwhile(*args: Any, **kwargs: Any) -> Any:
        found = page(*args, **kwargs)
        if not looked:
            looked.append(1)
            assert advance_replays(NOW) == 1
        return found

    monkeypatch.setattr(replays.carrying, "page_of_deliveries", meanwhile)
    assert advance_replays(NOW) == 0
    assert in_line(slow) == 1
    replay.refresh_from_db()
    assert replay.redelivered_count == 2
    assert len(rows) == 3
