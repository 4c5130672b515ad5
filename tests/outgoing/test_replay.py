"""Past events carried again, as a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from monitoring.models import AuditEntry
from outgoing import replays
from outgoing.errors import StateNotAllowed
from outgoing.models import Delivery, Replay
from outgoing.replays import deliveries_to_replay, plan_replay, run_replay, start_replay
from tests.factories import make_account, make_delivery, make_event, make_subscription
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SINCE, UNTIL = NOW - 5 * HOUR, NOW - HOUR


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def past(account: Account, *, ago: timedelta = 2 * HOUR, **fields: Any) -> Delivery:
    event_type = fields.pop("type", "invoice.paid")
    subscription = fields.pop("subscription", None) or make_subscription(account)
    event = make_event(account, created_at=NOW - ago, type=event_type)
    return make_delivery(
        event, subscription, **{"status": "delivered", "attempt_count": 3} | fields
    )


def plan(account: Account | None, **fields: Any) -> Replay:
    return plan_replay(**{"since": SINCE, "until": UNTIL, "account": account} | fields)


@pytest.mark.parametrize(
    ("ago", "taken"),
    [
        (5 * HOUR, True),
        (5 * HOUR + timedelta(microseconds=1), False),
        (HOUR, False),
        (HOUR + timedelta(microseconds=1), True),
    ],
)
def test_takes_the_period_from_its_start_up_to_its_end(ago: timedelta, taken: bool) -> None:
    account = make_account()
    past(account, ago=ago)
    found = deliveries_to_replay(since=SINCE, until=UNTIL, account=account)
    assert found.count() == taken


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("", 4), ("invoice.paid", 1), ("invoice.*", 2), ("invoice*", 3), ("*", 4), ("nothing", 0)],
)
def test_takes_a_type_or_a_name_with_a_star(pattern: str, count: int) -> None:
    account = make_account()
    for name in ("invoice.paid", "invoice.sent", "invoices", "order"):
        past(account, type=name)
    found = deliveries_to_replay(since=SINCE, until=UNTIL, account=account, event_type=pattern)
    assert found.count() == count


def test_takes_only_the_account_and_the_subscription_that_are_named() -> None:
    account = make_account()
    mine, other = past(account), past(make_account())
    beside = past(account)
    everything = deliveries_to_replay(since=SINCE, until=UNTIL)
    assert set(everything) == {mine, other, beside}
    assert set(deliveries_to_replay(since=SINCE, until=UNTIL, account=account)) == {mine, beside}
    found = deliveries_to_replay(since=SINCE, until=UNTIL, subscription=mine.subscription)
    assert set(found) == {mine}


def test_takes_neither_what_is_under_way_nor_what_is_archived() -> None:
    account = make_account()
    past(account, status="delivering")
    past(account, subscription=make_subscription(account, status="archived"))
    taken = [
        past(account, status=status)
        for status in ("delivered", "exhausted", "cancelled", "held", "pending")
    ]
    assert set(deliveries_to_replay(since=SINCE, until=UNTIL, account=account)) == set(taken)


def test_a_plan_counts_and_sends_nothing() -> None:
    account = make_account()
    past(account)
    past(account)
    before = list(Delivery.objects.order_by("pk").values())
    replay = plan(account, event_type="invoice.*")
    assert (replay.status, replay.planned_count, replay.redelivered_count) == ("planned", 2, 0)
    assert list(Delivery.objects.order_by("pk").values()) == before
    entry = AuditEntry.objects.get()
    assert entry.action == "replay.planned"
    assert '"count":2' in entry.after


def test_a_run_puts_every_delivery_of_the_plan_back_in_line() -> None:
    account = make_account()
    rows = [past(account) for _ in range(3)]
    outside = past(account, ago=9 * HOUR)
    replay = start_replay(plan(account))
    assert (replay.status, replay.redelivered_count, replay.finished_at) == ("finished", 3, NOW)
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.lane, row.trigger) == ("pending", Delivery.Lane.AGAIN, "replay")
        assert (row.replay, row.attempt_count, row.attempts_before) == (replay, 3, 3)
    outside.refresh_from_db()
    assert (outside.status, outside.replay) == ("delivered", None)
    assert Delivery.objects.count() == 4
    assert list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True)) == [
        "replay.planned",
        "replay.started",
    ]


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    for _ in range(5):
        past(account)
    monkeypatch.setattr(replays, "BATCH_ROWS", 2)
    replay = plan(account)
    progress: list[int] = []

    def cut_off(count: int) -> None:
        progress.append(count)
        if len(progress) == 2:
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        run_replay(replay, cut_off)
    replay.refresh_from_db()
    assert (replay.status, replay.error, replay.redelivered_count) == ("failed", "killed", 4)
    # Delivered meanwhile: it is not carried a second time.
    Delivery.objects.filter(replay=replay).update(status="delivered", lane=None)
    replay = start_replay(replay)
    assert (replay.status, replay.redelivered_count, replay.error) == ("finished", 5, "")
    assert Delivery.objects.filter(lane=Delivery.Lane.AGAIN).count() == 1
    assert Delivery.objects.filter(replay=replay, attempts_before=3).count() == 5


def test_a_batch_that_fails_is_not_half_done(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    past(account)
    replay = plan(account)

    def fail(**_: Any) -> None:
        Delivery.objects.update(trigger="replay")
        raise RuntimeError("no")

    monkeypatch.setattr(replays, "redeliver", fail)
    with pytest.raises(RuntimeError):
        run_replay(replay)
    assert Delivery.objects.get().trigger == "first"
    replay.refresh_from_db()
    assert (replay.status, replay.redelivered_count, replay.finished_at) == ("failed", 0, NOW)


@pytest.mark.parametrize("status", ["running", "finished", "cancelled"])
def test_runs_no_replay_twice(status: str) -> None:
    account = make_account()
    past(account)
    replay = plan(account)
    Replay.objects.update(status=status)
    with pytest.raises(StateNotAllowed):
        start_replay(replay)
    assert Delivery.objects.get().status == "delivered"
    assert AuditEntry.objects.count() == 1


def test_a_replay_over_all_accounts_runs_too() -> None:
    past(make_account())
    past(make_account())
    assert start_replay(plan(None)).redelivered_count == 2


def test_deliveries_of_a_paused_subscription_become_held() -> None:
    account = make_account()
    past(account, subscription=make_subscription(account, status="paused"))
    assert start_replay(plan(account)).redelivered_count == 1
    assert Delivery.objects.get().status == "held"
