"""What a source shows of its receipts: when it received last, how many, what went wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import Coalesce, Greatest

from incoming.models import Receipt, Source


def note_received(receipts: Iterable[Receipt]) -> None:
    """Show on the receipts' sources that they did receive, and count what was not counted yet."""
    by_source: dict[UUID, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        by_source[receipt.source_id].append(receipt)
    # In one order everywhere, so that two pumps do not wait for each other.
    for source_id in sorted(by_source):
        _note_source(source_id, by_source[source_id])


def _note_source(source_id: UUID, receipts: Sequence[Receipt]) -> None:
    values: dict[str, Any] = {
        "last_received_at": _latest("last_received_at", receipts),
        "accepted_count": F("accepted_count") + sum(not receipt.is_counted for receipt in receipts),
    }
    verified = [receipt for receipt in receipts if receipt.is_verified]
    if verified:
        values["last_verified_at"] = _latest("last_verified_at", verified)
    Source.objects.filter(pk=source_id).update(**values)


def _latest(column: str, receipts: Sequence[Receipt]) -> Greatest:
    value = Value(max(receipt.received_at for receipt in receipts))
    return Greatest(Coalesce(column, value), value)


def note_error(receipt: Receipt, text: str, now: datetime) -> None:
    """Show on the source what went wrong last, and that it did receive."""
    Source.objects.filter(pk=receipt.source_id).update(
        last_error=text[:500],
        last_error_at=now,
        last_received_at=_latest("last_received_at", [receipt]),
    )
