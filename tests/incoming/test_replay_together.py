"""Replays carried out by several pumps at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import connection

from incoming.models import Receipt, ReceiptReplay
from incoming.replays import Selection, advance_replays, carrying, plan_replay, start_replay
from incoming.retention import prune_receipts
from tests.factories import make_account, make_receipt, make_source
from webhooks_project.lib import clock

pytestmark = [
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
    pytest.mark.django_db(transaction=True),
]

PUMPS = 4
RECEIPTS = 60


def together(*works: Callable[[], object]) -> None:
    """Do all of it at once, each by a connection of its own."""
    barrier = threading.Barrier(len(works))
    errors: list[Exception] = []

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait()
            work()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def started(jobs: int, *, days: int | None = None) -> list[ReceiptReplay]:
    """Overlapping jobs over receipts that are a day old."""
    source = make_source(make_account(receipt_days=days))
    now = clock.now()
    for _ in range(RECEIPTS):
        make_receipt(
            source, status="dead", is_verified=True, next_attempt_at=None,
            received_at=now - timedelta(days=1, seconds=1),
        )  # fmt: skip
    selection = Selection(since=now - timedelta(days=2), until=now, source=source)
    return [start_replay(plan_replay(selection)) for _ in range(jobs)]


def carry_out() -> None:
    while ReceiptReplay.objects.filter(status="running").exists():
        advance_replays(clock.now())


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_no_receipt_is_taken_twice_and_none_is_left(
    jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 7)
    made = started(jobs)

    together(*[carry_out] * PUMPS)

    assert set(Receipt.objects.values_list("status", "round")) == {("accepted", 1)}
    for replay in made:
        replay.refresh_from_db()
        assert replay.status == "finished"
        assert replay.replayed_count == replay.receipts.count()
    assert sum(replay.replayed_count for replay in made) == RECEIPTS


def test_retention_takes_nothing_from_under_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "BATCH_ROWS", 7)
    [replay] = started(1, days=1)

    together(carry_out, prune_receipts, prune_receipts)

    assert Receipt.objects.filter(replay=replay).count() == RECEIPTS
