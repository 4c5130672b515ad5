"""A good call's end: its receipt is stored, or known to be a repeat, and acknowledged."""

from __future__ import annotations

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpResponse

from incoming.models import Receipt, SchemaMode, Source
from incoming.providers import Cause
from incoming.receiving.answers import given_answer, json_answer
from incoming.receiving.arrival import Arrival
from incoming.receiving.receipt import identify, receipt_of
from incoming.repeats import First, dedup_slot, first_in_window, first_of_slot
from incoming.store import store
from webhooks_project.lib import clock
from webhooks_project.lib.sql import insert_instance
from webhooks_project.queues import wake
from webhooks_project.uncounted import Kind, mark_uncounted

log = structlog.get_logger(__name__)


def accept(arrival: Arrival) -> HttpResponse:
    """Store the receipt, committed, and acknowledge it; a repeat is kept as a duplicate."""
    source = arrival.source
    receipt = receipt_of(arrival, Receipt.Status.ACCEPTED, identify(arrival))
    receipt.dedup_slot = dedup_slot(source, receipt)
    if arrival.schema_errors and source.schema_mode == SchemaMode.QUARANTINE:
        receipt.cause = Cause.SCHEMA_MISMATCH.value
        receipt.quarantined_at = receipt.received_at
    else:
        receipt.next_attempt_at = receipt.received_at
    if first := first_in_window(source, receipt):
        return _store_duplicate(arrival, receipt, first)
    try:
        store.insert(receipt)
    except IntegrityError:
        return _store_duplicate(arrival, receipt, first_of_slot(receipt))
    if receipt.next_attempt_at is not None:
        wake("processing")
    log.info("receipt accepted", receipt_id=str(receipt.pk), source_id=str(receipt.source_id),
             type=receipt.type, body_bytes=len(arrival.raw_body))  # fmt: skip
    return _acknowledge(arrival, receipt)


@transaction.atomic
def _store_duplicate(arrival: Arrival, receipt: Receipt, first: First) -> HttpResponse:
    """The id is known: keep the repeat as one, and answer well so that it stops."""
    receipt.status = Receipt.Status.DUPLICATE.value
    receipt.cause = ""
    receipt.is_counted = True
    receipt.dedup_slot = receipt.next_attempt_at = receipt.quarantined_at = None
    same_body = bytes(first[1]) == bytes(receipt.body_sha256)
    receipt.detail = f"repeats {first[0]}" + ("" if same_body else ", with another body")
    insert_instance(receipt)
    mark_uncounted(Kind.RECEIPT, [receipt.received_at])
    Source.objects.filter(pk=receipt.source_id).update(
        duplicate_count=F("duplicate_count") + 1,
        last_received_at=receipt.received_at,
        last_verified_at=receipt.received_at,
    )
    log.info("receipt is a duplicate", receipt_id=str(receipt.pk), source_id=str(receipt.source_id),
             repeats_id=str(first[0]), same_body=same_body)  # fmt: skip
    return _acknowledge(arrival, receipt)


def _acknowledge(arrival: Arrival, receipt: Receipt) -> HttpResponse:
    source = arrival.source
    answer = source.answer
    if answer is None:
        secrets = source.valid_secrets(clock.now())
        answer = source.provider.acknowledge(arrival.call, secrets, source.options)
    if answer is not None:
        return given_answer(answer)
    return json_answer(200, {"status": str(receipt.status), "receipt": str(receipt.pk)})
