"""What people do with receipts and their runs. Each function is one transaction and is audited."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F

from incoming.errors import StateNotAllowed
from incoming.models import HandlerRun, Receipt, Source
from incoming.runs import follow_runs, lock_receipt
from monitoring import journal
from webhooks_project.lib import clock
from webhooks_project.queues import wake

AGAIN: Final = (HandlerRun.Status.FAILED, HandlerRun.Status.DEAD)  # what a person may run again


@transaction.atomic
def reprocess_receipt(*, receipt: Receipt) -> Receipt:
    """Process a failed or dead receipt again, by the verdict it got on arrival, as if for the
    first time.

    Where its routes were followed already, its handlers that failed or are dead run again, and
    nothing else does. Raises StateNotAllowed for a receipt that is not failed or dead, and for one
    whose body was pruned.
    """
    put_back(receipt.pk)
    journal.record_change(
        account_id=receipt.account_id, action="receipt.reprocessed", subject=receipt
    )
    receipt.refresh_from_db()
    return receipt


@transaction.atomic
def put_back(receipt_id: UUID) -> None:
    """`reprocess_receipt` without its entry in the audit, for those who take many at once."""
    row = _lock_for_another_try(receipt_id)
    if row.status not in (Receipt.Status.FAILED, Receipt.Status.DEAD):
        raise StateNotAllowed("only a failed or dead receipt can be processed again")
    now = clock.now()
    if row.routed_at is None:
        Receipt.objects.filter(pk=row.pk).update(
            status=Receipt.Status.ACCEPTED,
            attempt_count=0,
            next_attempt_at=now,
            cause="",
            detail="",
            discard_reason="",
        )
    else:
        row.discard_reason = ""
        row.runs.filter(round=row.round, status__in=AGAIN).again(now)
        follow_runs(row)
    transaction.on_commit(lambda: wake("processing"))


@transaction.atomic
def rerun(*, run: HandlerRun) -> HandlerRun:
    """Put a dead or failed run back in line, with all its tries before it.

    Raises StateNotAllowed for any other, for one of an earlier round, since the replay has runs of
    its own, and where the receipt's body was pruned.
    """
    receipt = _lock_for_another_try(run.receipt_id)
    if run.round != receipt.round:
        raise StateNotAllowed("the receipt was replayed since; run the handler of that round again")
    if not HandlerRun.objects.filter(pk=run.pk, status__in=AGAIN).again(clock.now()):
        raise StateNotAllowed("only a failed or dead run can be run again")
    follow_runs(receipt)
    journal.record_change(
        account_id=run.account_id,
        action="handler.rerun",
        subject=run,
        after={"handler": run.handler, "receipt": run.receipt_id},
    )
    transaction.on_commit(lambda: wake("processing"))
    run.refresh_from_db()
    return run


def _lock_for_another_try(receipt_id: UUID) -> Receipt:
    receipt = lock_receipt(receipt_id)
    if receipt.body_pruned_at is not None:
        raise StateNotAllowed("the receipt's body was pruned")
    return receipt


@transaction.atomic
def release_quarantined(*, receipt: Receipt) -> Receipt:
    """Process a quarantined receipt after all. Raises StateNotAllowed for another."""
    _end_quarantine(receipt, "receipt.released", next_attempt_at=clock.now(), cause="")
    transaction.on_commit(lambda: wake("processing"))
    return receipt


@transaction.atomic
def drop_quarantined(*, receipt: Receipt) -> Receipt:
    """Refuse a quarantined receipt: it is kept, and nothing follows. Raises StateNotAllowed for
    another."""
    _end_quarantine(receipt, "receipt.dropped", status=Receipt.Status.REFUSED, is_counted=True)
    Source.objects.filter(pk=receipt.source_id).update(accepted_count=F("accepted_count") + 1)
    return receipt


def _end_quarantine(receipt: Receipt, action: str, **changes: Any) -> None:
    waiting = Receipt.objects.filter(
        pk=receipt.pk, status=Receipt.Status.ACCEPTED, quarantined_at__isnull=False
    )
    if not waiting.update(quarantined_at=None, **changes):
        raise StateNotAllowed("the receipt is not quarantined")
    journal.record_change(account_id=receipt.account_id, action=action, subject=receipt)
    receipt.refresh_from_db()
