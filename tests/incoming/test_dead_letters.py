"""Dead receipts: found, grouped, processed again, discarded, pruned."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
import time_machine

from incoming.dead_letters import (
    DeadReceipts,
    Group,
    dead_receipts,
    discard_dead_receipt,
    discard_dead_receipts,
    group_dead_receipts,
    reprocess_dead_receipts,
)
from incoming.errors import StateNotAllowed
from incoming.models import Receipt, Source
from incoming.processing import process_due_receipts
from incoming.processing.failures import RETRY_SECONDS
from incoming.retention import Pruned, count_prunable, prune_receipts
from incoming.runs import follow_runs, lock_receipt
from incoming.services import reprocess_receipt
from incoming.services.receipts import put_back
from monitoring.models import AuditEntry
from tests.factories import make_account, make_receipt, make_run, make_source
from webhooks_project.dead_letters import count_groups
from webhooks_project.lib.fingerprints import fingerprint_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def make_dead(
    source: Source | None = None,
    *,
    cause: str = "ValueError",
    detail: str = "shop.paid: ValueError: no customer 17",
    dead_at: datetime = NOW - HOUR,
    **fields: Any,
) -> Receipt:
    receipt = make_receipt(
        source, status="failed", next_attempt_at=None, cause=cause, detail=detail, **fields
    )
    receipt.die(dead_at)
    receipt.save()
    return receipt


# --- the fingerprint ------------------------------------------------------------------------------


def test_one_that_cannot_be_processed_is_dead_with_its_time_and_fingerprint() -> None:
    source = make_source(transformation="$error('no order 17')")
    receipt = make_receipt(source)
    with time_machine.travel(NOW, tick=False) as clock:
        for seconds in (*RETRY_SECONDS, 0):
            assert process_due_receipts() == 1
            clock.shift(seconds)
        died_at = datetime.now(UTC)
    receipt.refresh_from_db()
    assert (receipt.status, receipt.dead_at) == ("dead", died_at)
    assert receipt.fingerprint == fingerprint_of(source.pk, receipt.cause, text=receipt.detail)


def test_one_whose_handler_is_dead_goes_by_handler_and_error() -> None:
    receipt = make_receipt(status="processing", next_attempt_at=None, routed_at=NOW)
    make_run(
        receipt, handler="shop.paid", status="dead", cause="ValueError",
        error="Traceback …\nValueError: no customer 4711",
    )  # fmt: skip
    follow_runs(lock_receipt(receipt.pk))
    receipt.refresh_from_db()
    assert (receipt.status, receipt.dead_at) == ("dead", NOW)
    assert receipt.fingerprint == fingerprint_of(
        receipt.source_id, "ValueError", text="shop.paid: ValueError: no customer 17"
    )


def test_another_dead_handler_behind_the_first_does_not_make_it_die_again() -> None:
    receipt = make_receipt(status="processing", next_attempt_at=None, routed_at=NOW)
    make_run(receipt, handler="a", status="dead", cause="ValueError", error="ValueError: no")
    follow_runs(lock_receipt(receipt.pk))
    make_run(receipt, handler="b", status="dead", cause="KeyError", error="KeyError: no")
    with time_machine.travel(NOW + HOUR, tick=False):
        follow_runs(lock_receipt(receipt.pk))
    receipt.refresh_from_db()
    assert (receipt.dead_at, receipt.cause) == (NOW, "ValueError")


@pytest.mark.parametrize(
    "other",
    [
        {"cause": "KeyError"},
        {"detail": "shop.refunded: ValueError: no customer 17"},
        {"detail": "shop.paid: ValueError: no order 17"},
    ],
)
def test_each_fact_makes_another_group(other: dict[str, str]) -> None:
    source = make_source()
    assert make_dead(source).fingerprint != make_dead(source, **other).fingerprint
    assert make_dead(source).fingerprint != make_dead().fingerprint


# --- which, and their groups ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("marks", "found"),
    [
        ({}, True),
        ({"cause": "ValueError"}, True),
        ({"cause": "KeyError"}, False),
        ({"handler": "shop.paid"}, True),
        ({"handler": "shop"}, False),
        ({"handler": "Shop.paid"}, False),
        ({"type": "push"}, True),
        ({"type": "pull"}, False),
        ({"fingerprint": "0" * 32}, False),
        ({"since": NOW - HOUR}, True),
        ({"since": NOW}, False),
        ({"until": NOW - HOUR}, False),
        ({"until": NOW}, True),
    ],
)
def test_finds_those_with_all_of_the_marks(marks: dict[str, Any], found: bool) -> None:
    row = make_dead()
    assert list(DeadReceipts(**marks).rows()) == ([row] if found else [])


def test_finds_those_of_an_account_and_of_a_source() -> None:
    row = make_dead()
    make_dead()
    assert DeadReceipts(account=row.account).rows().get() == row
    assert DeadReceipts(source=row.source).rows().get() == row


def test_groups_have_their_count_and_their_first_and_last() -> None:
    source = make_source(name="Shop")
    first = make_dead(source, dead_at=NOW - 3 * HOUR)
    last = make_dead(source, detail="shop.paid: ValueError: no customer 4711")
    make_dead(source, cause="KeyError")
    groups = group_dead_receipts(dead_receipts(), limit=10)
    assert [group.count for group in groups] == [2, 1]
    assert groups[0] == Group(
        fingerprint=first.fingerprint,
        account_id=source.account_id,
        source_id=source.pk,
        source_name="Shop",
        cause="ValueError",
        text="shop.paid: valueerror: no customer <number>",
        count=2,
        first_at=NOW - 3 * HOUR,
        last_at=NOW - HOUR,
        sample_id=last.pk,
    )
    assert count_groups(dead_receipts()) == 2


# --- again ----------------------------------------------------------------------------------------


def test_processes_a_group_again_and_leaves_the_others() -> None:
    source = make_source()
    rows = [make_dead(source), make_dead(source)]
    other = make_dead(source, cause="KeyError")
    assert reprocess_dead_receipts(DeadReceipts(fingerprint=rows[0].fingerprint)) == 2
    for row in rows:
        row.refresh_from_db()
        assert (row.status, row.next_attempt_at, row.cause) == ("accepted", NOW, "")
    assert dead_receipts().get() == other
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == (
        "dead_receipts.reprocessed", str(source.account_id),
    )  # fmt: skip
    assert orjson.loads(entry.after) == {"fingerprint": rows[0].fingerprint, "count": 2}


def test_the_dead_handlers_alone_run_again() -> None:
    receipt = make_dead(routed_at=NOW)
    dead = make_run(receipt, handler="a", status="dead", attempt_count=6)
    done = make_run(receipt, handler="b", status="succeeded", attempt_count=1)
    assert reprocess_dead_receipts(DeadReceipts(source=receipt.source)) == 1
    dead.refresh_from_db()
    done.refresh_from_db()
    receipt.refresh_from_db()
    assert (dead.status, dead.attempt_count, dead.next_attempt_at) == ("pending", 0, NOW)
    assert (done.status, receipt.status) == ("succeeded", "processing")


def test_those_without_a_body_are_left_alone() -> None:
    make_dead(body_pruned_at=NOW)
    assert reprocess_dead_receipts(DeadReceipts()) == 0
    assert dead_receipts().count() == 1
    assert not AuditEntry.objects.exists()


def test_one_that_is_pruned_meanwhile_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source()
    first, second = sorted((make_dead(source), make_dead(source)), key=lambda row: row.pk)

    def put_back_and_prune(key: UUID) -> None:
        Receipt.objects.filter(pk=second.pk).delete()
        put_back(key)

    monkeypatch.setattr("incoming.dead_letters.put_back", put_back_and_prune)
    assert reprocess_dead_receipts(DeadReceipts()) == 1
    assert [(row.pk, row.status) for row in Receipt.objects.all()] == [(first.pk, "accepted")]


def test_takes_no_more_than_asked_for_the_longest_dead_first() -> None:
    source = make_source()
    kept = make_dead(source, dead_at=NOW - HOUR)
    make_dead(source, dead_at=NOW - 2 * HOUR)
    counts: list[int] = []
    assert reprocess_dead_receipts(DeadReceipts(), limit=1, progress=counts.append) == 1
    assert (counts, dead_receipts().get()) == ([1], kept)


# --- discard --------------------------------------------------------------------------------------


def test_discards_one_with_the_reason() -> None:
    row = make_dead()
    discard_dead_receipt(receipt=row, reason="A test of theirs.")
    assert (row.status, row.discard_reason) == ("dead", "A test of theirs.")
    assert not dead_receipts().exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("receipt.discarded", str(row.pk))
    assert orjson.loads(entry.after) == {"reason": "A test of theirs."}


@pytest.mark.parametrize("status", [item for item in Receipt.Status if item != "dead"])
def test_discards_nothing_but_a_dead_one(status: str) -> None:
    row = make_receipt(status=status)
    with pytest.raises(StateNotAllowed):
        discard_dead_receipt(receipt=row, reason="No.")
    row.refresh_from_db()
    assert row.discard_reason == ""
    assert not AuditEntry.objects.exists()


def test_one_is_discarded_once() -> None:
    row = make_dead()
    discard_dead_receipt(receipt=row, reason="First.")
    with pytest.raises(StateNotAllowed):
        discard_dead_receipt(receipt=row, reason="Second.")
    row.refresh_from_db()
    assert row.discard_reason == "First."


def test_discards_a_filter() -> None:
    source = make_source()
    make_dead(source)
    kept = make_dead(source, cause="KeyError")
    letters = DeadReceipts(source=source, handler="shop.paid", cause="ValueError")
    assert discard_dead_receipts(letters, reason="Stale.") == 1
    assert dead_receipts().get() == kept
    assert orjson.loads(AuditEntry.objects.get().after) == {
        "source": str(source.pk), "handler": "shop.paid", "cause": "ValueError",
        "reason": "Stale.", "count": 1,
    }  # fmt: skip


@pytest.mark.parametrize("routed_at", [None, NOW])
def test_a_discarded_one_that_is_processed_again_has_no_reason_any_more(
    routed_at: datetime | None,
) -> None:
    row = make_dead(routed_at=routed_at)
    make_run(row, status="dead")
    discard_dead_receipt(receipt=row, reason="By mistake.")
    assert reprocess_receipt(receipt=row).discard_reason == ""


# --- prune ----------------------------------------------------------------------------------------


def test_ends_the_wait_after_the_account_s_days() -> None:
    source = make_source(make_account(dead_letter_days=7))
    week = timedelta(days=7)
    old = make_dead(
        source, dead_at=NOW - week - timedelta(seconds=1), received_at=NOW - 2 * week, body=b"{1}"
    )
    young = make_dead(source, dead_at=NOW - week, received_at=NOW - 2 * week)
    assert count_prunable() == prune_receipts() == Pruned(dead_letters=1)
    old.refresh_from_db()
    assert (old.status, old.discard_reason) == ("dead", "nobody took it up within 7 days")
    assert (bytes(old.body), old.body_pruned_at) == (b"", NOW)
    assert dead_receipts().get() == young
    assert prune_receipts() == Pruned()


def test_one_with_a_handler_that_is_still_tried_waits_on() -> None:
    source = make_source(make_account(dead_letter_days=1))
    receipt = make_dead(source, dead_at=NOW - 48 * HOUR, received_at=NOW - 48 * HOUR)
    make_run(receipt, status="failed")
    assert prune_receipts() == Pruned()


def test_keeps_them_for_ever_where_the_account_says_nothing() -> None:
    make_dead(dead_at=NOW - timedelta(days=10_000), received_at=NOW - timedelta(days=10_000))
    assert prune_receipts() == Pruned()
