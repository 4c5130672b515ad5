"""What follows a receipt: its source's routes turn it into events, in one transaction."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django import db
from django.db import transaction
from django.db.models import Q

from incoming.errors import ClaimLost
from incoming.models import Receipt, Route, Source
from incoming.providers import Call
from monitoring import journal
from outgoing.errors import OutgoingError
from outgoing.services import NewEvent, publish_many
from webhooks_project.lib import clock
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)

CLAIM_ROWS: Final = 200
SWEEP_SECONDS: Final = 5.0
# After a failure, seconds to the next try; then the receipt is dead until a person takes it up.
RETRY_SECONDS: Final = (5, 60, 300, 1_800, 7_200)
DATABASE_PAUSE_SECONDS: Final = 0.5
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data")


def run_processing_pump(place: Place) -> int:
    """Process receipts until the place's turn is over. Returns how many."""
    processed = 0
    sweep_after = 0.0
    while True:
        try:
            if not place.goes_on():
                return processed
            if time.monotonic() >= sweep_after:
                sweep_after = time.monotonic() + SWEEP_SECONDS
                Receipt.objects.all().release_expired(clock.now())
            count = process_due_receipts()
            processed += count
            if not count:
                time.sleep(POLL_SECONDS)
        except (db.OperationalError, db.InterfaceError) as error:
            log.warning("the database is away", error=str(error)[:200])
            db.close_old_connections()
            time.sleep(DATABASE_PAUSE_SECONDS)


def process_due_receipts(limit: int = CLAIM_ROWS) -> int:
    """Claim due receipts and process them. Returns how many were claimed.

    All of a claim are processed in one transaction. Where one of them fails, each is processed in
    its own, so that one failure is not the others'.
    """
    now = clock.now()
    if not Receipt.objects.all().any_due(now):
        return 0
    token, ids = Receipt.objects.all().claim(now=now, limit=limit)
    if not ids:
        return 0
    try:
        _process(ids, token)
    except db.OperationalError:
        raise
    except Exception as error:
        if len(ids) > 1:
            log.info("receipts are processed one by one", count=len(ids), error=str(error)[:200])
        for receipt_id in ids:
            _process_one(receipt_id, token)
    return len(ids)


def _process_one(receipt_id: UUID, token: UUID) -> None:
    try:
        _process([receipt_id], token)
    except db.OperationalError:
        raise
    except ClaimLost:
        log.warning("a receipt's claim was lost", receipt_id=str(receipt_id))
    except Exception as error:
        if not isinstance(error, OutgoingError):
            log.exception("receipt failed", receipt_id=str(receipt_id))
        _fail(receipt_id, token, error)


@transaction.atomic
def _process(ids: Collection[UUID], token: UUID) -> None:
    # In the order of their arrival, so that their events are in it too.
    receipts = list(
        Receipt.objects.held_by(token, ids).select_for_update().order_by("received_at", "pk")
    )
    if len(receipts) < len(ids):
        raise ClaimLost
    sources = Source.objects.in_bulk({receipt.source_id for receipt in receipts})
    routes = _routes(sources)
    new_events: list[NewEvent] = []
    counts: dict[int, list[Receipt]] = {}
    for receipt in receipts:
        events = [
            _new_event(receipt, route, sources[receipt.source_id])
            for route in routes.get(receipt.source_id, ())
            if _takes(route, receipt.type)
        ]
        new_events.extend(events)
        counts.setdefault(len(events), []).append(receipt)
    publish_many(new_events)
    _end(counts, token)
    _note_received(receipts)
    for count, group in counts.items():
        for receipt in group:
            log.debug("receipt processed", receipt_id=str(receipt.pk), event_count=count,
                      request_id=receipt.request_id)  # fmt: skip


def _end(counts: dict[int, list[Receipt]], token: UUID) -> None:
    now = clock.now()
    for count, group in counts.items():
        Receipt.objects.held_by(token, [receipt.pk for receipt in group]).update(
            status=Receipt.Status.PROCESSED,
            event_count=count,
            processed_at=now,
            detail="" if count else "no route takes it",
            lease_token=None,
            leased_until=None,
        )


def _note_received(receipts: Sequence[Receipt]) -> None:
    latest: dict[UUID, Any] = {}
    for receipt in receipts:
        known = latest.get(receipt.source_id)
        latest[receipt.source_id] = max(known or receipt.received_at, receipt.received_at)
    for source_id, received_at in latest.items():
        Source.objects.filter(
            Q(last_received_at=None) | Q(last_received_at__lt=received_at), pk=source_id
        ).update(last_received_at=received_at)


@transaction.atomic
def _fail(receipt_id: UUID, token: UUID, error: Exception) -> None:
    receipt = Receipt.objects.held_by(token, [receipt_id]).select_for_update().first()
    if receipt is None:
        return
    number = receipt.attempt_count + 1
    is_last = number > len(RETRY_SECONDS)
    receipt.status = Receipt.Status.DEAD if is_last else Receipt.Status.FAILED
    receipt.attempt_count = number
    code = getattr(error, "code", type(error).__name__)
    receipt.detail = f"{code}: {error}"[:500]
    receipt.next_attempt_at = (
        None if is_last else clock.now() + timedelta(seconds=RETRY_SECONDS[number - 1])
    )
    receipt.lease_token = receipt.leased_until = None
    receipt.save()
    if is_last:
        journal.record_activity(
            account_id=receipt.account_id,
            kind="receipt.dead",
            text=f"Receipt {receipt.pk} was given up after {number} tries: {receipt.detail}",
            subject=receipt,
        )
    log.info("receipt failed", receipt_id=str(receipt_id), number=number, error=receipt.detail,
             request_id=receipt.request_id)  # fmt: skip


def _routes(sources: dict[UUID, Source]) -> dict[UUID, list[Route]]:
    routes: dict[UUID, list[Route]] = {}
    for route in Route.objects.filter(source__in=list(sources), disabled_at=None):
        routes.setdefault(route.source_id, []).append(route)
    return routes


def _takes(route: Route, type_: str) -> bool:
    if route.type_pattern.endswith("*"):
        return type_.startswith(route.type_pattern[:-1])
    return type_ == route.type_pattern


def _new_event(receipt: Receipt, route: Route, source: Source) -> NewEvent:
    return NewEvent(
        account_id=receipt.account_id,
        type=event_type_of(route.event_type, provider=source.provider, type_=receipt.type),
        data=data_of(receipt),
        occurred_at=receipt.signed_at or receipt.received_at,
        correlation_id=receipt.request_id,
        causation_id=receipt.causation_id,
    )


def event_type_of(template: str, *, provider: str, type_: str) -> str:
    """A route's event type, filled in: `shopify` and `orders/create` give `shopify.orders.create`.

    What an event type cannot hold becomes `_`; a call without a type has the type `unknown`.
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", type_.replace("/", ".").replace(":", "."))
    plain = re.sub(r"\.{2,}", ".", plain).strip(".") or "unknown"
    return template.replace("{provider}", provider).replace("{type}", plain)[:128].rstrip(".")


def data_of(receipt: Receipt) -> bytes:
    """The event's data: a JSON body as it came, a form as a mapping, anything else as text.

    Bytes that are no UTF-8 come as `{"base64": …}`.
    """
    body = bytes(receipt.body)
    content_type = orjson.loads(bytes(receipt.headers)).get("content-type", "")
    if content_type.partition(";")[0].strip().lower() in FORM_TYPES:
        form = Call(receipt.method, "", {"content-type": content_type}, body, 0).form
        if form:
            return orjson.dumps(form)
    try:
        orjson.loads(body)
        return body
    except orjson.JSONDecodeError:
        pass
    try:
        return orjson.dumps({"text": body.decode()})
    except UnicodeDecodeError:
        return orjson.dumps({"base64": base64.b64encode(body).decode()})
