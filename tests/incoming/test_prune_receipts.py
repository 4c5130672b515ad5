"""Retention: bodies after so many days, rows after so many, and never what still waits."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from incoming import retention
from incoming.models import HandlerRun, Receipt, ReceiptReplay, RefusalCount, Source
from incoming.retention import Pruned, count_prunable, prune_receipts
from incoming.tasks import prune
from tests.factories import make_account, make_receipt, make_source
from tests.terminal import at_terminal
from webhooks_project import batches as batching

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _frozen(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(batching, "PAUSE_SECONDS", 0)
    with time_machine.travel(NOW, tick=False):
        yield


def keeping(bodies: int | None = None, rows: int | None = None, **fields: Any) -> Source:
    """A source whose account keeps receipts so many days."""
    return make_source(make_account(receipt_body_days=bodies, receipt_days=rows, **fields))


def old(source: Source, *, days: float = 100, **fields: Any) -> Receipt:
    kept = {
        "status": "processed",
        "received_at": NOW - timedelta(days=days),
        "next_attempt_at": None,
        "body": b'{"a": 1}',
        "query": "a=1",
    }
    return make_receipt(source, **kept | fields)


def make_run(receipt: Receipt, **fields: Any) -> HandlerRun:
    return HandlerRun.objects.create(
        **{
            "account": receipt.account,
            "source": receipt.source,
            "receipt": receipt,
            "handler": "h",
            "status": "succeeded",
            "created_at": receipt.received_at,
        }
        | fields
    )


def make_replay(source: Source, **fields: Any) -> ReceiptReplay:
    return ReceiptReplay.objects.create(
        **{
            "account": source.account,
            "since": NOW - 200 * DAY,
            "until": NOW,
            "status": "running",
            "created_at": NOW,
        }
        | fields
    )


def test_a_body_goes_and_what_it_was_is_still_told() -> None:
    receipt = old(keeping(bodies=30))
    before = Receipt.objects.filter(pk=receipt.pk).values().get()

    assert prune_receipts() == Pruned(bodies=1)

    after = Receipt.objects.filter(pk=receipt.pk).values().get()
    assert after == before | {
        "body": b"", "headers": b"{}", "query": "", "body_pruned_at": NOW,
        "pruned_bytes": 8,
    }  # fmt: skip
    assert bytes(after["body_sha256"]) == hashlib.sha256(b'{"a": 1}').digest()
    assert prune_receipts() == Pruned()


def test_a_row_goes_with_its_runs() -> None:
    source = keeping(rows=30)
    make_run(old(source))
    make_run(old(source), status="dead")
    kept = make_run(old(source, days=1))
    assert prune_receipts() == Pruned(receipts=2)
    assert list(HandlerRun.objects.all()) == [kept]
    assert list(Receipt.objects.all()) == [kept.receipt]


@pytest.mark.parametrize("bodies", [True, False])
def test_to_the_microsecond(bodies: bool) -> None:
    source = keeping(bodies=30) if bodies else keeping(rows=30)
    old(source, received_at=NOW - 30 * DAY)
    old(source, received_at=NOW - 30 * DAY - timedelta(microseconds=1))
    assert prune_receipts().total == 1


def test_each_account_by_its_own_days() -> None:
    for bodies, rows in ((None, None), (10, None), (None, 50), (10, 50)):
        source = keeping(bodies, rows, slug=f"keeps-{bodies}-{rows}")
        for days in (5, 20, 60):
            old(source, days=days)
    assert prune_receipts() == Pruned(bodies=3, receipts=2)
    left = Receipt.objects.order_by("account__slug", "-received_at").values_list(
        "account__slug", "received_at", "body_pruned_at"
    )
    assert [(slug, (NOW - at).days, pruned is not None) for slug, at, pruned in left] == [
        ("keeps-10-50", 5, False), ("keeps-10-50", 20, True),
        ("keeps-10-None", 5, False), ("keeps-10-None", 20, True), ("keeps-10-None", 60, True),
        ("keeps-None-50", 5, False), ("keeps-None-50", 20, False),
        ("keeps-None-None", 5, False), ("keeps-None-None", 20, False),
        ("keeps-None-None", 60, False),
    ]  # fmt: skip


@pytest.mark.parametrize("status", ["processed", "dead", "refused", "duplicate", "handshake"])
def test_what_has_ended_goes(status: str) -> None:
    old(keeping(bodies=30), status=status)
    old(keeping(rows=30), status=status)
    assert prune_receipts() == Pruned(bodies=1, receipts=1)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "accepted", "next_attempt_at": NOW},
        {"status": "processing", "leased_until": NOW},
        {"status": "processing", "routed_at": NOW},
        {"status": "failed", "next_attempt_at": NOW + DAY},
        {"status": "failed", "routed_at": NOW},
        {"status": "accepted", "quarantined_at": NOW},
    ],
)
def test_what_waits_stays(fields: dict[str, Any]) -> None:
    old(keeping(bodies=30, rows=30), **fields)
    before = list(Receipt.objects.values())
    assert count_prunable() == prune_receipts() == Pruned()
    assert list(Receipt.objects.values()) == before


@pytest.mark.parametrize(("status", "stays"), [("failed", True), ("running", True),
                                              ("pending", True), ("succeeded", False)])  # fmt: skip
def test_a_dead_receipt_stays_while_another_handler_is_still_tried(
    status: str, stays: bool
) -> None:
    receipt = old(keeping(bodies=30), status="dead")
    make_run(receipt, status="dead")
    make_run(receipt, handler="other", status=status)
    assert prune_receipts() == Pruned(bodies=int(not stays))


def test_what_a_running_replay_may_yet_take_stays() -> None:
    source = keeping(rows=30)
    wanted = [old(source, status="dead", type="push"), old(source, status="dead", type="push.tag")]
    for fields in ({"status": "processed"}, {"status": "dead", "type": "other"}):
        old(source, **fields)
    old(keeping(rows=30), status="dead")
    make_replay(source, type_pattern="push*", statuses=["dead"])

    assert count_prunable() == prune_receipts() == Pruned(receipts=3)

    assert set(Receipt.objects.all()) == set(wanted)


def test_what_a_running_replay_has_taken_stays() -> None:
    source = keeping(bodies=30)
    replay = make_replay(source, statuses=["dead"])
    receipt = old(source, replay=replay, round=1)
    assert prune_receipts() == Pruned()
    ReceiptReplay.objects.update(status="finished")
    assert prune_receipts() == Pruned(bodies=1)
    receipt.refresh_from_db()
    assert receipt.body_pruned_at == NOW


def test_a_running_replay_over_all_accounts_keeps_everybody_s() -> None:
    old(keeping(rows=30))
    replay = make_replay(make_source(), account=None)
    assert prune_receipts() == Pruned()
    replay.since = NOW - 10 * DAY
    replay.save()
    assert prune_receipts() == Pruned(receipts=1)


@pytest.mark.parametrize("status", ["planned", "finished", "cancelled", "failed"])
def test_a_replay_that_does_not_run_keeps_nothing(status: str) -> None:
    source = keeping(rows=30)
    old(source)
    make_replay(source, status=status)
    assert prune_receipts() == Pruned(receipts=1)


def test_old_counts_of_refusals_go() -> None:
    source = keeping(rows=30)
    for days in (29, 31):
        RefusalCount.objects.create(
            account=source.account, source=source, hour=NOW - days * DAY, cause="rate_limited"
        )
    other = keeping(bodies=30)
    RefusalCount.objects.create(
        account=other.account, source=other, hour=NOW - 90 * DAY, cause="rate_limited"
    )
    assert count_prunable() == prune_receipts() == Pruned(refusal_counts=1)
    assert RefusalCount.objects.count() == 2


def test_a_thousand_in_a_transaction_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BATCH_ROWS", 2)
    source = keeping(rows=30)
    receipts = [old(source, days=days) for days in (40, 60, 50, 70, 70)]
    waits = old(source, days=65, status="accepted")
    left: list[set[Any]] = []

    def note(count: int) -> None:
        left.append(set(Receipt.objects.values_list("pk", flat=True)))

    assert prune_receipts(progress=note) == Pruned(receipts=5)
    assert left == [
        {receipts[0].pk, receipts[1].pk, receipts[2].pk, waits.pk},
        {receipts[0].pk, waits.pk},
        {waits.pk},
    ]


def test_a_transaction_that_took_long_is_followed_by_a_smaller_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = batching.Batches(None, lambda count: None)
    monkeypatch.setattr(batching, "MIN_BATCH_ROWS", 300)
    sizes = []
    for seconds in (0.1, 0.3, 0.3, 0.3, 0.1, 0.1):
        batches._notice(seconds)
        sizes.append(batches._size)
    assert sizes == [1000, 500, 300, 300, 600, 1000]


def test_stops_when_its_time_is_over_and_goes_on_next_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "BATCH_ROWS", 1)
    source = keeping(bodies=30)
    for _ in range(3):
        old(source)
    now = [1000.0]
    monkeypatch.setattr(batching.time, "monotonic", lambda: now[0])

    def tick(count: int) -> None:
        now[0] += 20.0

    assert prune_receipts(seconds=40, progress=tick) == Pruned(bodies=2)
    assert prune_receipts(seconds=40) == Pruned(bodies=1)


def test_what_one_account_has_much_of_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "BATCH_ROWS", 1)
    sources = [keeping(rows=30) for _ in range(3)]
    for source, count in zip(sources, (20, 1, 3), strict=True):
        for _ in range(count):
            old(source)
    now = [1000.0]
    monkeypatch.setattr(batching.time, "monotonic", lambda: now[0])
    left: list[list[int]] = []

    def tick(count: int) -> None:
        now[0] += 1.0
        left.append([source.receipts.count() for source in sources])

    # A third of the time for the first, and then what the others left over.
    assert prune_receipts(seconds=16, progress=tick) == Pruned(receipts=16)
    assert left[-1] == [8, 0, 0]
    assert prune_receipts(seconds=None, progress=tick) == Pruned(receipts=8)
    # Even where there is no time for a second transaction, each has one.
    for source in sources:
        for _ in range(3):
            old(source)
    assert prune_receipts(seconds=3, progress=tick) == Pruned(receipts=3)
    assert left[-1] == [2, 2, 2]


def test_another_account_is_first_in_every_hour() -> None:
    turns = [batching.in_turn([1, 2, 3], NOW + timedelta(hours=hours)) for hours in range(4)]
    assert sorted(turns[:3]) == [[1, 2, 3], [2, 3, 1], [3, 1, 2]]
    assert turns[3] == turns[0]
    assert batching.in_turn([], NOW) == []


def test_what_changed_since_it_was_found_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    source = keeping(bodies=30)
    receipt = old(source, status="dead")
    empty = retention._empty_receipts

    def reprocessed_before(rows: Any) -> int:
        Receipt.objects.filter(pk=receipt.pk).update(status="accepted", next_attempt_at=NOW)
        return empty(rows)

    monkeypatch.setattr(retention, "_empty_receipts", reprocessed_before)
    assert prune_receipts() == Pruned()
    receipt.refresh_from_db()
    assert bytes(receipt.body) == b'{"a": 1}'


def test_a_replay_that_starts_meanwhile_keeps_what_it_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "BATCH_ROWS", 1)
    source = keeping(rows=30)
    for days in (70, 60, 50):
        old(source, days=days)

    def start(count: int) -> None:
        make_replay(source)

    assert prune_receipts(progress=start) == Pruned(receipts=1)


def test_no_body_is_read_to_delete_its_row() -> None:
    old(keeping(rows=30))
    with CaptureQueriesContext(connection) as queries:
        prune_receipts()
    assert not [query for query in queries if '"body",' in query["sql"]]


def test_the_task_of_every_hour_prunes() -> None:
    old(keeping(bodies=30))
    old(keeping(rows=30))
    assert prune() == 2


# --- the command ----------------------------------------------------------------------------------


def run(*arguments: str) -> list[str]:
    out = io.StringIO()
    call_command("prune_receipts", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_the_command_counts_and_then_prunes() -> None:
    source = keeping(bodies=30, rows=50, slug="acme")
    old(source, days=40)
    for _ in range(2):
        old(source, days=60)
    RefusalCount.objects.create(
        account=source.account, source=source, hour=NOW - 60 * DAY, cause="rate_limited"
    )
    old(keeping(bodies=30))
    before = list(Receipt.objects.order_by("pk").values())

    assert run("--dry-run", "--account", "acme") == [
        "1 bodies would be emptied, 2 receipts and 1 counts of refusals would be deleted, "
        "0 dead receipts would be discarded"
    ]
    said = {"bodies": 1, "receipts": 2, "refusal_counts": 1, "dead_letters": 0}
    assert list(map(json.loads, run("--dry-run", "--json", "--account", "acme"))) == [said]
    assert list(Receipt.objects.order_by("pk").values()) == before
    assert run("--account", "acme") == [
        "2 of 4 pruned",
        "3 of 4 pruned",
        "4 of 4 pruned",
        "1 bodies emptied, 2 receipts and 1 counts of refusals deleted, 0 dead receipts discarded",
    ]
    assert list(map(json.loads, run("--json"))) == [
        {"bodies": 1, "receipts": 0, "refusal_counts": 0, "dead_letters": 0}
    ]


def test_the_command_refuses_an_account_that_is_none() -> None:
    with pytest.raises(CommandError, match="there is no account none"):
        run("--account", "none")


def test_on_a_terminal_a_bar_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        old(keeping(rows=30))
    screen = at_terminal(monkeypatch, "prune_receipts")
    text = "\n".join(screen.lines)
    assert "pruned" in text
    assert "100%" in text
    assert not Receipt.objects.exists()
