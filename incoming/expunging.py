"""Taking a person's data out of receipts, and of the events that came of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Q, QuerySet

from incoming.models import HandlerRun, Receipt
from incoming.payload import data_of, headers_of
from incoming.querysets import BODY_BYTES
from incoming.replays import NOT_ENDED
from monitoring import journal
from outgoing.expunging import ExpungedEvents, cancellable, expunge_events, waiting_events
from outgoing.models import Event
from outgoing.selecting import Selection, pages_of_events
from webhooks_project.lib import clock
from webhooks_project.lib.filters import compile_filter

PAGE_ROWS: Final = 50  # in one transaction
CHUNK_ROWS: Final = 20  # bodies in memory at once

Status = Receipt.Status
UNDER_WAY: Final = (Status.ACCEPTED, Status.PROCESSING, Status.FAILED)


@dataclass(frozen=True, slots=True)
class Expunged:
    """Counts of what was, or would be, done; `waiting` counts what was refused."""

    events: int = 0
    receipts: int = 0
    attempts: int = 0
    cancelled: int = 0
    waiting: int = 0

    def __add__(self, other: Expunged) -> Expunged:
        return Expunged(
            self.events + other.events,
            self.receipts + other.receipts,
            self.attempts + other.attempts,
            self.cancelled + other.cancelled,
            self.waiting + other.waiting,
        )


def events_to_expunge(selection: Selection, event_ids: Sequence[UUID] = ()) -> list[UUID]:
    """The events that are meant, the oldest first; also those whose data was pruned, since what
    goes with it is still there."""
    rows = Event.objects.filter(expunged_at=None)
    if event_ids:
        rows = rows.filter(pk__in=event_ids)
    return [key for page in pages_of_events(selection, rows, limit=1_000) for key in page]


def receipts_to_expunge(selection: Selection, events: Sequence[UUID]) -> list[UUID]:
    """The receipts that these events came of, and those that pass the selection's own filter.

    A receipt is asked as an event is: `data` is its body, `type` its type, and `headers`.
    """
    found: dict[UUID, None] = {}
    for start in range(0, len(events), 1_000):
        rows = Event.objects.filter(pk__in=events[start : start + 1_000])
        keys = [
            UUID(text.removeprefix("receipt:"))
            for text in rows.values_list("causation_id", flat=True)
            if text.startswith("receipt:")
        ]
        kept = Receipt.objects.filter(pk__in=keys, body_pruned_at=None)
        found |= dict.fromkeys(kept.values_list("pk", flat=True))
    if selection.filter is not None:
        found |= dict.fromkeys(_passing(selection))
    return list(found)


def _passing(selection: Selection) -> Iterator[UUID]:
    compiled = compile_filter(selection.filter)
    for receipt in _in_period(selection).iterator(chunk_size=CHUNK_ROWS):
        document = {
            "data": orjson.loads(data_of(receipt)),
            "type": receipt.type,
            "channels": [],
            "headers": headers_of(receipt),
            "metadata": {},
        }
        if compiled.matches(document):
            yield receipt.pk


def _in_period(selection: Selection) -> QuerySet[Receipt]:
    wanted = Q(body_pruned_at=None)
    if selection.account is not None:
        wanted &= Q(account=selection.account)
    if selection.since is not None:
        wanted &= Q(received_at__gte=selection.since)
    if selection.until is not None:
        wanted &= Q(received_at__lt=selection.until)
    return Receipt.objects.filter(wanted).order_by("received_at", "pk")


def expunge_page(
    events: Sequence[UUID], receipts: Sequence[UUID], *, cancel: bool = False
) -> Expunged:
    """Empty these, in a transaction each. What is still to be delivered or processed is refused."""
    done: ExpungedEvents = expunge_events(events, cancel=cancel) if events else ExpungedEvents()
    emptied, waiting = _expunge_receipts(receipts) if receipts else (0, 0)
    return Expunged(
        events=len(done.events),
        receipts=emptied,
        attempts=done.attempts,
        cancelled=done.cancelled,
        waiting=len(done.waiting) + waiting,
    )


def count_page(
    events: Sequence[UUID], receipts: Sequence[UUID], *, cancel: bool = False
) -> Expunged:
    """How many of these are meant, would be refused now, and cancelled; reads only."""
    waiting = waiting_events(events, cancel=cancel)
    refused = _waiting(Receipt.objects.filter(pk__in=receipts)).count()
    return Expunged(
        events=len(events),
        receipts=len(receipts),
        cancelled=cancellable(events).count() if cancel else 0,
        waiting=len(waiting) + refused,
    )


def _waiting(rows: QuerySet[Receipt]) -> QuerySet[Receipt]:
    runs = HandlerRun.objects.filter(status__in=NOT_ENDED).values("receipt")
    return rows.filter(Q(status__in=UNDER_WAY) | Q(quarantined_at__isnull=False) | Q(pk__in=runs))


@transaction.atomic
def _expunge_receipts(keys: Sequence[UUID]) -> tuple[int, int]:
    locked = Receipt.objects.select_for_update().filter(pk__in=keys).only("pk", "account_id")
    rows = {row.pk: row for row in locked}
    waiting = set(_waiting(Receipt.objects.filter(pk__in=keys)).values_list("pk", flat=True))
    done = [key for key in rows if key not in waiting]
    HandlerRun.objects.filter(receipt__in=done).update(error="")
    # The hash stays: what was received can still be proved.
    Receipt.objects.filter(pk__in=done).update(
        body=b"",
        headers=b"{}",
        query="",
        detail="",
        body_pruned_at=clock.now(),
        pruned_bytes=BODY_BYTES,
    )
    for key in done:
        row = rows[key]
        journal.record_change(account_id=row.account_id, action="receipt.expunged", subject=row)
    return len(done), len(waiting)
