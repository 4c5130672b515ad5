"""The command that processes past receipts again."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command

from incoming import handlers
from incoming.management.commands import replay_receipts as command
from incoming.models import HandlerRun, Receipt, ReceiptReplay, Source
from incoming.processing import process_due_receipts
from incoming.replays import advance_replays, cancel_replay, carrying
from monitoring.models import AuditEntry
from outgoing.models import Event
from tests.factories import make_account, make_receipt, make_source
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Heartbeat

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
TODAY = ("--since", "2026-03-04T00:00")


@pytest.fixture(autouse=True)
def running_clock() -> Iterator[None]:
    with time_machine.travel(NOW):
        yield


@pytest.fixture
def source() -> Source:
    return make_source(make_account(slug="acme"), name="Shop")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Heartbeat:
    """A processing pump that is alive on another node, and does its work while we wait."""

    def work(seconds: float) -> None:
        advance_replays(clock.now())
        process_due_receipts()
        Heartbeat.objects.update(beat_at=clock.now())

    monkeypatch.setattr(command.time, "sleep", work)
    return Heartbeat.objects.create(
        host="other", cluster="hub", family="processing", beat_at=clock.now()
    )


def run(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("replay_receipts", *arguments, stdout=out)
    return out.getvalue().splitlines()


def refusal(*arguments: str) -> tuple[int, str]:
    with pytest.raises(CommandError) as caught:
        run(*arguments)
    return caught.value.returncode, str(caught.value)


def past(source: Source, **fields: Any) -> Receipt:
    kept = {
        "status": "processed",
        "is_verified": True,
        "received_at": NOW - timedelta(hours=2),
        "next_attempt_at": None,
    }
    return make_receipt(source, **kept | fields)


def test_a_dry_run_says_what_would_be_replayed_and_changes_nothing(source: Source) -> None:
    for status in ("processed", "processed", "dead"):
        past(source, status=status)
    past(source, type="", received_at=NOW - timedelta(hours=3))
    past(source, status="refused", is_verified=False)
    past(source, status="duplicate")
    before = list(Receipt.objects.order_by("pk").values())

    assert run(*TODAY, "--dry-run") == [
        "       1 × no type of Shop, now processed",
        "       1 × push of Shop, now dead",
        "       2 × push of Shop, now processed",
        "       1 left out: duplicate",
        "       1 left out: not_verified",
        "the oldest is of 2026-03-04T09:00:00Z",
        "4 receipts would be replayed",
    ]
    assert run(*TODAY, "--type", "none", "--dry-run") == ["0 receipts would be replayed"]
    assert list(Receipt.objects.order_by("pk").values()) == before
    assert not ReceiptReplay.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_dry_run_as_json(source: Source) -> None:
    past(source)
    [line] = run(*TODAY, "--dry-run", "--json")
    row = {"source": str(source.pk), "source_name": "Shop", "type": "push",
           "status": "processed", "count": 1}  # fmt: skip
    assert json.loads(line) == {
        "count": 1, "oldest": "2026-03-04T10:00:00Z", "receipts": [row], "left_out": {},
    }  # fmt: skip


def test_without_a_hub_it_does_the_work_itself(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 2)
    receipts = [past(source) for _ in range(3)]

    lines = run(*TODAY, "--account", "acme")

    replay = ReceiptReplay.objects.get()
    assert lines == [
        "2 of 3 processed",
        "3 of 3 processed",
        f"3 receipts replayed, 0 failed, replay {replay.pk}",
    ]
    assert (replay.status, replay.account) == ("finished", source.account)
    assert {event.causation_id for event in Event.objects.all()} == {
        receipt.causation_id for receipt in receipts
    }
    entries = AuditEntry.objects.order_by("sequence").values_list("action", "actor_kind")
    assert list(entries) == [
        ("receipt_replay.planned", "command"), ("receipt_replay.started", "command"),
    ]  # fmt: skip
    assert Heartbeat.objects.get().token is None  # the place is free again


def test_without_a_hub_it_runs_handlers_too(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[handlers.Webhook] = []
    handler = handlers.Handler("h", "github", ("*",), told.append, 5.0, (60.0,), False)
    monkeypatch.setitem(handlers.HANDLERS, "h", handler)
    past(source)

    run(*TODAY)

    assert [(webhook.is_replay, webhook.round) for webhook in told] == [(True, 1)]
    assert HandlerRun.objects.get().status == "succeeded"
    assert Receipt.objects.get().status == "processed"


def test_receipts_that_fail_again_are_told_by_the_exit_code(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(webhook: handlers.Webhook) -> None:
        raise ValueError(webhook.type)

    handler = handlers.Handler("h", "github", ("push",), fail, 5.0, (60.0,), False)
    monkeypatch.setitem(handlers.HANDLERS, "h", handler)
    past(source)
    past(source, type="tag")
    assert refusal(*TODAY) == (4, "1 receipts failed again")


def test_with_a_hub_it_starts_the_job_and_leaves(source: Source, hub: Heartbeat) -> None:
    receipt = past(source)
    [line] = run(*TODAY)
    replay = ReceiptReplay.objects.get()
    assert line == f"1 receipts to replay, replay {replay.pk} started"
    assert replay.status == "running"
    receipt.refresh_from_db()
    assert receipt.round == 0


def test_with_a_hub_and_wait_it_follows_the_job_to_its_end(source: Source, hub: Heartbeat) -> None:
    past(source)
    lines = run(*TODAY, "--wait")
    replay = ReceiptReplay.objects.get()
    assert lines == [
        "1 of 1 processed",
        f"1 receipts replayed, 0 failed, replay {replay.pk}",
    ]


def test_a_hub_that_goes_away_meanwhile_is_taken_over(
    source: Source, hub: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    past(source)
    monkeypatch.setattr(
        command.time,
        "sleep",
        lambda seconds: Heartbeat.objects.filter(pk=hub.pk).update(beat_at=None),
    )
    assert run(*TODAY, "--wait")[0] == "1 of 1 processed"


def test_json_of_a_run_is_one_object(source: Source) -> None:
    past(source)
    [line] = run(*TODAY, "--json")
    said = json.loads(line)
    replay = ReceiptReplay.objects.get()
    assert said | {"receipts": [], "oldest": ""} == {
        "replay": str(replay.pk), "status": "finished", "replayed_count": 1, "failed_count": 0,
        "error": "", "count": 1, "oldest": "", "receipts": [], "left_out": {},
    }  # fmt: skip


def test_json_of_a_start_is_one_object(source: Source, hub: Heartbeat) -> None:
    past(source)
    [line] = run(*TODAY, "--json")
    assert json.loads(line)["status"] == "running"


def test_a_job_that_fails_is_told_by_the_exit_code(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> int:
        raise ValueError("no more")

    monkeypatch.setattr(carrying, "_put_in_line", fail)
    past(source)
    assert refusal(*TODAY) == (1, "the replay failed: ValueError: no more")


def test_a_job_that_is_cancelled_is_told_by_the_exit_code(
    source: Source, hub: Heartbeat, monkeypatch: pytest.MonkeyPatch
) -> None:
    past(source)
    monkeypatch.setattr(
        command.time, "sleep", lambda seconds: cancel_replay(ReceiptReplay.objects.get())
    )
    assert refusal(*TODAY, "--wait") == (3, "the replay was cancelled")


def test_takes_every_selection(source: Source) -> None:
    wanted = past(source, status="dead", cause="boom", type="push.tag")
    past(source, status="dead", cause="boom", type="other")
    past(source, status="dead", cause="other", type="push.tag")
    past(source, status="processed", cause="boom", type="push.tag")
    past(source, status="dead", cause="boom", type="push.tag", received_at=NOW)
    past(make_source(source.account), status="dead", cause="boom", type="push.tag")
    run(
        *TODAY, "--until", "2026-03-04T12:00+00:00", "--source", str(source.pk), "--account",
        "acme", "--type", "push*", "--status", "dead", "--status", "failed", "--cause", "boom",
    )  # fmt: skip
    assert list(Receipt.objects.filter(round=1)) == [wanted]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 1, "the following arguments are required: --since"),
        (("--since", "yesterday"), 1, "'yesterday' is no ISO 8601 moment"),
        ((*TODAY, "--until", "2026-03-03T00:00"), 2, "since must be before until"),
        (("--since", "2027-01-01T00:00"), 2, "since must be before until, and in the past"),
        ((*TODAY, "--account", "none"), 2, "there is no account none"),
        ((*TODAY, "--source", str(new_id())), 2, "there is no source"),
        ((*TODAY, "--status", "gone"), 1, "invalid choice: 'gone'"),
        ((*TODAY, "--type", "a*b"), 2, "a * stands only at the end"),
    ],
)
def test_refuses_arguments_that_cannot_be_meant(
    arguments: tuple[str, ...], code: int, message: str
) -> None:
    found, text = refusal(*arguments)
    assert found == code
    assert message in text
    assert not ReceiptReplay.objects.exists()


def test_refuses_another_account_s_source(source: Source) -> None:
    make_account(slug="other")
    code, text = refusal(*TODAY, "--source", str(source.pk), "--account", "other")
    assert (code, text) == (2, "the source is another account's")


def test_one_that_may_not_start_yet_is_not_left_behind(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("incoming.replays.jobs.MAX_RUNNING", 1)
    now = clock.now()
    running = ReceiptReplay.objects.create(since=now, until=now, created_at=now, status="running")
    code, text = refusal(*TODAY)
    assert (code, text) == (2, "1 replays are running; start it when one has ended")
    assert ReceiptReplay.objects.get() == running
