"""Receipts that cannot be processed: tried again later, and in the end dead."""

from __future__ import annotations

from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction

from incoming.models import Receipt, Source
from incoming.processing.notes import note_error, note_received
from incoming.routing import Failed
from incoming.tracing import trace_failed
from monitoring import journal
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)


# After a failure, seconds to the next try; then the receipt is dead until a person takes it up.
RETRY_SECONDS: Final = (5, 60, 300, 1_800, 7_200)


@transaction.atomic
def fail(receipt_id: UUID, token: UUID, failed: Failed) -> None:
    """Note why it cannot be processed, and when to try again; nothing where the claim is lost."""
    receipt = Receipt.objects.held_by(token, [receipt_id]).select_for_update(no_key=True).first()
    if receipt is None:
        return
    now = clock.now()
    number = receipt.attempt_count + 1
    is_last = number > len(RETRY_SECONDS)
    receipt.status = Receipt.Status.FAILED
    receipt.attempt_count = number
    receipt.cause = failed.cause
    receipt.detail = failed.detail
    if is_last:
        receipt.die(now)
    receipt.next_attempt_at = (
        None if is_last else now + timedelta(seconds=RETRY_SECONDS[number - 1])
    )
    receipt.lease_token = receipt.leased_until = None
    if not receipt.is_counted:
        note_received([receipt])
        receipt.is_counted = True
    receipt.save(
        update_fields=[
            "status", "attempt_count", "cause", "detail", "next_attempt_at", "lease_token",
            "leased_until", "is_counted", "dead_at", "fingerprint", "discard_reason",
        ]
    )  # fmt: skip
    note_error(receipt, f"{failed.cause}: {failed.detail}", now)
    trace_failed(receipt, failed.cause, now)
    if is_last:
        # A broken route gives up thousands an hour: one line counts them.
        journal.count_activity(
            account_id=receipt.account_id,
            kind="receipt.dead",
            text=f"Receipt {receipt.pk} was given up after {number} tries: "
            f"{failed.cause}: {failed.detail}",
            subject=Source(pk=receipt.source_id),
        )
    log.info("receipt failed", receipt_id=str(receipt_id), number=number, cause=failed.cause,
             error=failed.detail, request_id=receipt.request_id)  # fmt: skip
