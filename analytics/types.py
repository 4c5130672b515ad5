"""By which of its types a source's receipts are counted.

A receipt's type is a text of the third party's. The first MAX_TYPES of a source that are counted
are kept, and count by name; whatever else it sends counts without one. Which those are is stored,
so that counting again gives the same.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from analytics.models import Detail, ReceiptType
from analytics.rows import counting

MAX_TYPES: Final = 200

Types = dict[UUID | None, set[str]]  # of each source; none is without one


def detailed_since() -> datetime | None:
    """From when on sources and types are counted; None for always."""
    return Detail.objects.values_list("since", flat=True).first()


def counted_types(sent: Mapping[UUID | None, Collection[str]]) -> Types:
    """Of each source the types that it has by now, with those of `sent` that it had room for.

    Stores these, in a transaction of its own where the caller has none.
    """
    known = _known(sent)
    if not _new(sent, known):
        return known
    with counting():  # nobody else fills the room meanwhile
        known = _known(sent)
        new = _new(sent, known)
        ReceiptType.objects.bulk_create(
            ReceiptType(source_id=source_id, type=name)  # type: ignore[misc]  # it has one
            for source_id, names in new.items()
            for name in names
        )
    for source_id, names in new.items():
        known[source_id].update(names)
    return known


def _known(sent: Mapping[UUID | None, Collection[str]]) -> Types:
    known: Types = {source_id: set() for source_id in sent}
    rows = ReceiptType.objects.filter(source__in=list(sent))
    for source_id, name in rows.values_list("source_id", "type"):
        known[source_id].add(name)
    return known


def _new(sent: Mapping[UUID | None, Collection[str]], known: Types) -> dict[UUID | None, list[str]]:
    found = {}
    for source_id, names in sent.items():
        room = MAX_TYPES - len(known[source_id])
        if new := sorted(set(names) - known[source_id])[: max(0, room)]:
            found[source_id] = new
    return found
