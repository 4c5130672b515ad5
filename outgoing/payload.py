"""The bytes that are sent, and the headers that vouch for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from webhooks_project.lib.redaction import MASK
from webhooks_project.lib.signing import signature_header

CONTENT_TYPE: Final = "application/json"


def envelope(*, type: str, occurred_at: datetime, data: bytes) -> bytes:
    """The Standard Webhooks body: `type`, `timestamp`, `data`, whose bytes stay as they are."""
    timestamp = occurred_at.astimezone(UTC).isoformat()[:-6]
    return b'{"type":%b,"timestamp":"%bZ","data":%b}' % (
        orjson.dumps(type),
        timestamp.encode(),
        data,
    )


def webhook_id_of(event_id: UUID) -> str:
    """The `webhook-id` of an event, the same on every attempt of every delivery of it."""
    return f"evt_{event_id.hex}"


def signed_headers(
    *,
    message_id: str,
    timestamp: int,
    body: bytes,
    keys: Sequence[bytes],
    replay_id: UUID | None = None,
) -> list[str]:
    """The header lines of one attempt; `timestamp` is the attempt's own, in Unix seconds."""
    lines = [
        f"Content-Type: {CONTENT_TYPE}",
        f"webhook-id: {message_id}",
        f"webhook-timestamp: {timestamp}",
        "webhook-signature: "
        + signature_header(keys, message_id=message_id, timestamp=timestamp, body=body),
        # libcurl would ask first, and wait, before it sends a body above 1 MiB.
        "Expect:",
    ]
    if replay_id is not None:
        lines.append(f"webhook-replay: {replay_id}")
    return lines


def shown_headers(
    *, message_id: str, timestamp: int, replay_id: UUID | None = None
) -> dict[str, str]:
    """The same headers as they are kept with the attempt: without the signature itself."""
    headers = {
        "content-type": CONTENT_TYPE,
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": MASK,
    }
    if replay_id is not None:
        headers["webhook-replay"] = str(replay_id)
    return headers
