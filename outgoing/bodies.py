"""The body of an attempt's request, byte for byte as it was signed and sent.

A plain one is made again from its event; one that was computed, batched or sealed is kept. Either
is shown only where its hash is the one that was noted when it was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from uuid import UUID

from outgoing.models import Attempt, Event, SentBody
from outgoing.payload import Message, Shape
from outgoing.security import Security
from subscriptions.models import Subscription
from webhooks_project.lib import clock

LARGE_BYTES: Final = 64 * 1024  # larger ones are stored one by one: a statement has its limits


class Origin(StrEnum):
    """Where a body comes from, or why there is none."""

    REPRODUCED = "reproduced"  # made again from the event
    STORED = "stored"
    NOT_SENT = "not_sent"  # the attempt ended before it was made
    NOT_KEPT = "not_kept"  # gone with the event's data


@dataclass(frozen=True, slots=True)
class RequestBody:
    """`body` is None where there is none to show; else its SHA-256 was compared."""

    origin: Origin
    body: bytes | None = None


def hash_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()


def is_reproducible(shape: Shape, security: Security, *, is_batch: bool) -> bool:
    """Whether the event alone gives the body again."""
    return not (is_batch or shape.is_computed or security.recipient is not None)


def keep_bodies(sent: Iterable[tuple[UUID, UUID, bytes, bytes]]) -> None:
    """Keep bodies, as (account, delivery, hash, body): each once."""
    now = clock.now()
    # Those of one batch have the same body, and are recorded together.
    rows = {
        (account_id, sha256): SentBody(
            account_id=account_id,
            delivery_id=delivery_id,
            sha256=sha256,
            body=body,
            created_at=now,
        )
        for account_id, delivery_id, sha256, body in sent
    }
    small = [row for row in rows.values() if len(row.body) <= LARGE_BYTES]
    large = [row for row in rows.values() if len(row.body) > LARGE_BYTES]
    for together in (small, *([row] for row in large)):
        SentBody.objects.insert_new(together)


def body_of(attempt: Attempt) -> RequestBody:
    """The body that the attempt sent."""
    sha256 = bytes(attempt.request_sha256)
    if not sha256:
        return RequestBody(Origin.NOT_KEPT if attempt.request_bytes else Origin.NOT_SENT)
    kept = SentBody.objects.filter(account=attempt.delivery.account_id, sha256=sha256).first()
    if kept is not None and hash_of(bytes(kept.body)) == sha256:
        return RequestBody(Origin.STORED, bytes(kept.body))
    message = _message(attempt.delivery.event)
    # The form is the subscription's, which may have another by now.
    for form in Subscription.PayloadForm.values:
        body = message.body_for(Shape(form))
        if hash_of(body) == sha256:
            return RequestBody(Origin.REPRODUCED, body)
    return RequestBody(Origin.NOT_KEPT)


def _message(event: Event) -> Message:
    return Message(
        event_id=event.pk,
        account_id=event.account_id,
        type=event.type,
        occurred_at=event.occurred_at,
        correlation_id=event.correlation_id,
        data=bytes(event.data),
    )
