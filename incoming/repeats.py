"""Which receipt a call repeats: the same id, and with chosen fields the same window of time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from django.db import IntegrityError
from django.db.models import QuerySet

from incoming.models import Receipt

First = tuple[UUID, bytes | memoryview]  # the receipt that is repeated, its body's hash


class Dedup(Protocol):
    """What a source says of repeats; the row has it, and what the door knows of it."""

    @property
    def dedup_fields(self) -> Sequence[str]: ...

    @property
    def dedup_window_seconds(self) -> int: ...


def dedup_slot(source: Dedup, receipt: Receipt) -> int | None:
    """What makes a second call with this id a repeat: the same slot. None where nothing does.

    With chosen fields, slots are as long as the window, so that of calls that come at once one is
    stored; `first_in_window` looks into the slot before.
    """
    if not receipt.external_id:
        return None
    if not source.dedup_fields:
        return 0
    return 1 + int(receipt.received_at.timestamp()) // source.dedup_window_seconds


def first_in_window(source: Dedup, receipt: Receipt) -> First | None:
    """The receipt of the slot before that this one repeats, by the fields the source chose."""
    if not source.dedup_fields or receipt.dedup_slot is None:
        return None
    since = receipt.received_at - timedelta(seconds=source.dedup_window_seconds)
    return _known(receipt, receipt.dedup_slot - 1).filter(received_at__gt=since).first()


def first_of_slot(receipt: Receipt) -> First:
    """The receipt that stands in this one's way. Raises IntegrityError where there is none."""
    first = _known(receipt, receipt.dedup_slot).first()
    if first is None:
        raise IntegrityError("the receipt was not stored, and no earlier one stands in its way")
    return first


def _known(receipt: Receipt, slot: int | None) -> QuerySet[Receipt, First]:
    return (
        Receipt.objects.filter(
            external_id=receipt.external_id, source_id=receipt.source_id, dedup_slot=slot
        )
        .order_by()
        .values_list("pk", "body_sha256")
    )
