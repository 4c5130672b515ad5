"""The bytes that are sent, and the headers that vouch for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import orjson

from outgoing.security import PLAIN, Security
from webhooks_project.lib.signing import Key

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
    keys: Sequence[Key],
    replay_id: UUID | None = None,
    content_type: str = CONTENT_TYPE,
    security: Security = PLAIN,
    token: str = "",
) -> list[str]:
    """The header lines of one attempt; `timestamp` is the attempt's own, in Unix seconds."""
    lines = [
        f"Content-Type: {content_type}",
        f"webhook-id: {message_id}",
        f"webhook-timestamp: {timestamp}",
        # libcurl would ask first, and wait, before it sends a body above 1 MiB.
        "Expect:",
    ]
    lines += security.header_lines(
        keys, message_id=message_id, timestamp=timestamp, body=body, token=token
    )
    if replay_id is not None:
        lines.append(f"webhook-replay: {replay_id}")
    return lines


def shown_headers(
    *,
    message_id: str,
    timestamp: int,
    replay_id: UUID | None = None,
    content_type: str = CONTENT_TYPE,
    security: Security = PLAIN,
) -> dict[str, str]:
    """The same headers as they are kept with the attempt: without signatures and credentials."""
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        **security.shown(content_type),
    }
    if replay_id is not None:
        headers["webhook-replay"] = str(replay_id)
    return headers
