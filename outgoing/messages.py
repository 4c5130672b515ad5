"""The events of claimed deliveries, read by the hundred."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from uuid import UUID

from outgoing.models import Event
from outgoing.payload import Message
from webhooks_project.lib.sql import select_by_key

SMALL_DATA_BYTES: Final = 32 * 1024  # read with the claim; larger ones when their turn comes


def read_messages(event_ids: Collection[UUID]) -> dict[UUID, Message]:
    """The messages of those events that are there, without the data of large ones."""
    rows = select_by_key(
        Event,
        event_ids,
        ("id", "account", "type", "occurred_at", "correlation_id", "schema_version", "channels",
         "metadata", "headers", "traceparent", "tracestate"),
        expressions=(
            "length(data)",
            f"CASE WHEN length(data) <= {SMALL_DATA_BYTES} THEN data END",
        ),
    )  # fmt: skip
    return {
        key: Message(
            key,
            account_id,
            type_,
            occurred_at,
            correlation_id,
            None if data is None else bytes(data),
            data_bytes,
            *rest,
        )
        for key, account_id, type_, occurred_at, correlation_id, *rest, data_bytes, data in rows
    }


def read_data(event_id: UUID) -> bytes | None:
    """One event's data; None where it was deleted with its account meanwhile."""
    data = Event.objects.filter(pk=event_id).values_list("data", flat=True).first()
    return None if data is None else bytes(data)
