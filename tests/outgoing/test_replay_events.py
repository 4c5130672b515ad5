"""The command that carries past events again."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from monitoring.models import AuditEntry
from outgoing.management.commands import replay_events as command
from outgoing.models import Delivery, Replay
from outgoing.replays import advance_replays, cancel_replay
from tests.factories import (
    make_account,
    make_delivery,
    make_event,
    make_retry,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Heartbeat

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SINCE = ("--since", "2026-03-04T00:00")


@pytest.fixture(autouse=True)
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(command, "LOOK_SECONDS", 0)
    with time_machine.travel(NOW, tick=False):
        yield


def replay_events(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("replay_events", *arguments, stdout=out)
    return out.getvalue().splitlines()


def past(account: Account, **fields: Any) -> Delivery:
    event = make_event(
        account,
        type=fields.pop("type", "invoice.paid"),
        created_at=NOW - timedelta(hours=fields.pop("hours", 2)),
    )
    subscription = fields.pop("subscription", None) or make_subscription(account, name="Shop")
    return make_delivery(event, subscription, **{"status": "delivered"} | fields)


def taken() -> set[Delivery]:
    return set(Delivery.objects.filter(trigger="replay", lane=Delivery.Lane.AGAIN))


def test_a_dry_run_says_what_would_be_carried_and_changes_nothing() -> None:
    account = make_account()
    shop = make_subscription(account, name="Shop")
    for status in ("delivered", "exhausted", "held"):
        past(account, subscription=shop, status=status)
    past(account, subscription=shop, type="order.made")
    before = list(Delivery.objects.order_by("pk").values())
    assert replay_events(*SINCE, "--dry-run") == [
        "       2 × invoice.paid to Shop",
        "       1 × order.made to Shop",
        "       1 left out: waiting",
        "the oldest is of 2026-03-04T10:00:00Z",
        "it may take 0:00:00",
        "3 deliveries would be redelivered",
    ]
    (line,) = replay_events(*SINCE, "--dry-run", "--json", "--kind", "recover")
    said = json.loads(line)
    assert (said["count"], said["left_out"], said["is_complete"]) == (1, {}, True)
    assert list(Delivery.objects.order_by("pk").values()) == before
    assert not Replay.objects.exists()
    assert not AuditEntry.objects.exists()


def test_it_starts_a_job_that_the_hub_carries_out() -> None:
    account = make_account(slug="acme")
    rows = {past(account) for _ in range(3)}
    past(make_account())
    (line,) = replay_events(*SINCE, "--account", "acme")
    replay = Replay.objects.get()
    assert line == f"3 deliveries to redeliver, replay {replay.pk} started"
    assert (replay.status, replay.requested_by) == ("running", "replay_events")
    assert advance_replays(NOW) == 3
    assert taken() == rows
    assert (replay.since, replay.until) == (datetime(2026, 3, 4, tzinfo=UTC), NOW)
    entries = AuditEntry.objects.order_by("sequence")
    assert [(entry.action, entry.actor_label) for entry in entries] == [
        ("replay.planned", "replay_events"),
        ("replay.started", "replay_events"),
    ]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((), {"a", "b", "c", "d"}),
        (("--type", "invoice.paid"), {"a", "b", "c"}),
        (("--type", "order.*"), {"d"}),
        (("--type", "Order.*"), set()),
        (("--type", "*"), {"a", "b", "c", "d"}),
        (("--until", "2026-03-04T08:00"), {"b"}),
        (("--until", "2026-03-04T07:00"), set()),
        (("--status", "exhausted"), {"c"}),
        (("--status", "exhausted", "--status", "delivered"), {"a", "b", "c", "d"}),
        (("--kind", "recover"), {"c"}),
        (("--filter", '{"type": "order.made"}'), {"d"}),
        (("--channel", "eu"), set()),
    ],
)
def test_carries_what_was_selected(arguments: tuple[str, ...], names: set[str]) -> None:
    account = make_account()
    rows = {
        "a": past(account),
        "b": past(account, hours=5),
        "c": past(account, hours=4, status="exhausted"),
        "d": past(account, type="order.made"),
    }
    past(account, hours=13)
    (line,) = replay_events(*SINCE, *arguments)
    assert line.startswith(f"{len(names)} deliveries to redeliver, replay ")
    advance_replays(NOW)
    assert taken() == {rows[name] for name in names}


def test_carries_to_one_subscription() -> None:
    account = make_account()
    mine = past(account)
    past(account)
    replay_events(*SINCE, "--subscription", str(mine.subscription_id))
    advance_replays(NOW)
    assert taken() == {mine}


class Worker:
    """Stands for the delivery pumps: carries what is in line at each look of the command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, status: str = "delivered") -> None:
        self.status = status
        under_way = command._under_way_count

        def look(replay: Replay) -> int:
            count = under_way(replay)
            Delivery.objects.filter(lane__isnull=False).update(lane=None, status=self.status)
            return count

        monkeypatch.setattr(command, "_under_way_count", look)
        monkeypatch.setattr("outgoing.replays.carrying.LOOK_SECONDS", 0.001)


def test_waits_to_the_end_and_moves_the_job_on_where_no_pump_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Worker(monkeypatch)
    monkeypatch.setattr("outgoing.replays.pacing.MAX_WAITING", 2)
    account = make_account()
    for _ in range(3):
        past(account)
    lines = replay_events(*SINCE, "--wait")
    replay = Replay.objects.get()
    assert lines == [
        "2 of 3 redelivered",
        "3 of 3 redelivered",
        f"3 deliveries redelivered, 0 failed, replay {replay.pk}",
    ]
    assert replay.status == "finished"


def test_says_it_as_json_and_ends_with_4_where_some_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Worker(monkeypatch, "exhausted")
    row = past(make_account())
    out = io.StringIO()
    with pytest.raises(CommandError) as caught:
        call_command("replay_events", *SINCE, "--wait", "--json", stdout=out)
    assert caught.value.returncode == 4
    said = json.loads(out.getvalue())
    assert (said["status"], said["redelivered_count"], said["failed_count"]) == ("finished", 1, 1)
    row.refresh_from_db()
    assert row.status == "exhausted"


def test_one_that_waits_for_its_retry_has_failed() -> None:
    delivery = past(make_account(), status="pending", lane=None, attempt_count=1)
    replay = Replay.objects.create(since=NOW, until=NOW, created_at=NOW, status="finished")
    Delivery.objects.update(replay=replay)
    make_retry(delivery)
    with pytest.raises(CommandError, match="1 deliveries failed again"):
        command.Command(stdout=io.StringIO())._say_end(replay, as_json=False)


@pytest.mark.parametrize(("ending", "code"), [("failed", 1), ("cancelled", 3)])
def test_ends_with_what_the_job_came_to(
    monkeypatch: pytest.MonkeyPatch, ending: str, code: int
) -> None:
    past(make_account())

    def end(self: Any, now: datetime) -> int:
        replay = Replay.objects.get()
        if ending == "cancelled":
            cancel_replay(replay)
        else:
            Replay.objects.update(status="failed", error="no")
        return 1

    monkeypatch.setattr("outgoing.replays.Pace.advance", end)
    with pytest.raises(CommandError) as caught:
        replay_events(*SINCE, "--wait")
    assert caught.value.returncode == code


def test_leaves_the_job_to_a_pump_that_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    past(make_account())
    Heartbeat.objects.create(
        host="h", cluster="c", family="retry", token=new_id(), started_at=NOW, beat_at=NOW
    )
    moved: list[int] = []

    def pump(seconds: float) -> None:
        moved.append(advance_replays(NOW))
        Delivery.objects.update(lane=None, status="delivered")

    monkeypatch.setattr(command.time, "sleep", pump)
    monkeypatch.setattr("outgoing.replays.Pace.advance", lambda self, now: pytest.fail("moved"))
    assert replay_events(*SINCE, "--wait")[-1].startswith("1 deliveries redelivered, 0 failed")
    assert moved == [1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--since"),
        (("--since", "yesterday"), "'yesterday' is no ISO 8601 moment"),
        (("--since", "2026-13-01T00:00"), "is no ISO 8601 moment"),
        (("--since", "0001-01-01T00:00+14:00"), "is no ISO 8601 moment"),
        ((*SINCE, "--until", "9999-12-31T23:59-14:00"), "is no ISO 8601 moment"),
        (("--since", "2026-03-04T13:00"), "since must be before until"),
        (("--since", "2026-03-04T01:00", "--until", "2026-03-04T01:00"), "since must be before"),
        ((*SINCE, "--account", "nobody"), "there is no account nobody"),
        ((*SINCE, "--subscription", str(new_id())), "there is no subscription"),
        ((*SINCE, "--filter", "{"), "is no JSON"),
        ((*SINCE, "--filter", "null"), "null is no filter"),
        ((*SINCE, "--filter", '{"data": {"$no": 1}}'), "the filter: "),
        ((*SINCE, "--kind", "missing", "--status", "held"), "only a replay goes by statuses"),
    ],
)
@pytest.mark.parametrize("also", [(), ("--dry-run",)])
def test_refuses_what_makes_no_sense(
    arguments: tuple[str, ...], also: tuple[str, ...], message: str
) -> None:
    past(make_account())
    with pytest.raises(CommandError, match=message):
        replay_events(*arguments, *also)
    assert taken() == set()
    assert not Replay.objects.exists()


def test_one_that_may_not_start_yet_is_not_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outgoing.replays.jobs.MAX_RUNNING", 1)
    past(make_account())
    running = Replay.objects.create(since=NOW, until=NOW, created_at=NOW, status="running")
    with pytest.raises(CommandError, match="1 replays are running") as caught:
        replay_events(*SINCE)
    assert caught.value.returncode == 2
    assert Replay.objects.get() == running
