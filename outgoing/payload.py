"""The bytes that are sent, and the headers that vouch for them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import orjson

from outgoing.security import ORDINARY, Security
from subscriptions.models import Subscription
from webhooks_project.lib.redaction import MASK, is_secret
from webhooks_project.lib.signing import Key
from webhooks_project.lib.trace_context import child_of

CONTENT_TYPE: Final = "application/json"
STANDARD: Final = Subscription.PayloadForm.STANDARD.value
STRUCTURED: Final = Subscription.PayloadForm.CLOUDEVENTS_STRUCTURED.value
BINARY: Final = Subscription.PayloadForm.CLOUDEVENTS_BINARY.value
RAW: Final = Subscription.PayloadForm.RAW.value
THIN: Final = Subscription.PayloadForm.THIN.value


@dataclass(frozen=True, slots=True)
class Shape:
    """What a subscription makes of an event: expressions over its data, then the body's form.

    `downgrades` bring the data to an older schema version, one after the other; `transformation`
    is asked of the whole event and gives the data that is sent. `variables` are its
    `$variables`, text by name.
    """

    form: str = STANDARD
    downgrades: tuple[str, ...] = ()
    transformation: str = ""
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def is_computed(self) -> bool:
        """Whether an expression has to be evaluated first."""
        return bool(self.downgrades or self.transformation)


PLAIN: Final = Shape()


@dataclass(slots=True, eq=False)
class Message:
    """An event as the deliveries of one claim share it.

    `data` is JSON, None where it is large and not yet read. `shaped` has the data of shapes that
    are computed.
    """

    event_id: UUID
    account_id: UUID
    type: str
    occurred_at: datetime
    correlation_id: str
    data: bytes | None
    data_bytes: int = 0
    schema_version: str = ""
    channels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    traceparent: str = ""
    tracestate: str = ""
    shaped: dict[Shape, bytes] = field(default_factory=dict)
    _shape: Shape | None = None
    _body: bytes = b""

    @property
    def webhook_id(self) -> str:
        return webhook_id_of(self.event_id)

    def data_for(self, shape: Shape) -> bytes:
        """The data of a shape. Raises ValueError where it was not read or computed yet."""
        data = self.shaped.get(shape) if shape.is_computed else self.data
        if data is None:
            raise ValueError("the event's data is not read yet")
        return data

    def bytes_for(self, shape: Shape) -> int:
        """How large the data of a shape is."""
        if shape.form == THIN:
            return 0
        return len(self.shaped[shape]) if shape.is_computed else self.data_bytes

    def body_for(self, shape: Shape) -> bytes:
        """The bytes to send; made once for those that want the same shape one after the other."""
        if shape is not self._shape:
            self._body = _body(self, shape.form, self.data_for(shape))
            self._shape = shape
        return self._body

    def facts(self) -> dict[str, Any]:
        """What a transformation is asked of, beside the data."""
        return {
            "id": self.webhook_id,
            "type": self.type,
            "timestamp": _timestamp(self.occurred_at),
            "channels": list(self.channels),
            "headers": {name.lower(): text for name, text in self.headers.items()},
            "metadata": dict(self.metadata),
        }


def envelope(*, type: str, occurred_at: datetime, data: bytes) -> bytes:
    """The Standard Webhooks body: `type`, `timestamp`, `data`, whose bytes stay as they are."""
    return b'{"type":%b,"timestamp":%b,"data":%b}' % (
        orjson.dumps(type),
        _moment(occurred_at),
        data,
    )


def batch_body(shaped: Sequence[tuple[Message, Shape]], form: str) -> bytes:
    """Several events as one JSON list, the data of each in its own shape. Standard envelopes have
    their `id` in it then, which the header of a single one has; CloudEvents are a batch as its JSON
    format, 4, has it."""
    bodies = ((message, _body(message, form, message.data_for(shape))) for message, shape in shaped)
    return b"[%b]" % b",".join(
        b'{"id":%b,%b' % (orjson.dumps(message.webhook_id), body[1:]) if form == STANDARD else body
        for message, body in bodies
    )


def _body(message: Message, form: str, data: bytes) -> bytes:
    if form == STANDARD:
        return envelope(type=message.type, occurred_at=message.occurred_at, data=data)
    if form == STRUCTURED:
        attributes = orjson.dumps(_attributes(message))
        return b'%b,"data":%b}' % (attributes[:-1], data)
    if form == THIN:
        return orjson.dumps({"id": message.webhook_id, "type": message.type})
    return data


def _attributes(message: Message) -> dict[str, str]:
    """CloudEvents 1.0, "Context Attributes"."""
    return {
        "specversion": "1.0",
        "id": message.webhook_id,
        "source": f"urn:uuid:{message.account_id}",
        "type": message.type,
        "time": _timestamp(message.occurred_at),
        "datacontenttype": CONTENT_TYPE,
    }


def content_headers(message: Message, form: str, *, is_batch: bool = False) -> list[str]:
    """The header lines that say what the body is, and those that the event brings along."""
    if form == STRUCTURED:
        kind = "application/cloudevents-batch+json" if is_batch else "application/cloudevents+json"
        return [f"Content-Type: {kind}", *_own_lines(message, is_batch)]
    lines = [f"Content-Type: {CONTENT_TYPE}", *_own_lines(message, is_batch)]
    if form == BINARY:
        # The HTTP binding, 3.1: each attribute a header, the type of the data its Content-Type.
        attributes = _attributes(message)
        del attributes["datacontenttype"]
        lines.extend(f"ce-{name}: {text}" for name, text in attributes.items())
    return lines


def _own_lines(message: Message, is_batch: bool) -> list[str]:
    """What one event brings along; of several it could not be told whose it is."""
    if is_batch or not (message.headers or message.traceparent):
        return []
    lines = [f"{name}: {text}" for name, text in message.headers.items()]
    if message.traceparent:
        lines.append(f"traceparent: {child_of(message.traceparent)}")
        if message.tracestate:
            lines.append(f"tracestate: {message.tracestate}")
    return lines


def webhook_id_of(event_id: UUID) -> str:
    """The `webhook-id` of an event, the same on every attempt of every delivery of it."""
    return f"evt_{event_id.hex}"


def batch_id_of(event_ids: Sequence[UUID]) -> str:
    """The `webhook-id` of several events in one body: the same for the same ones again."""
    return "bat_" + hashlib.sha256(b"".join(key.bytes for key in event_ids)).hexdigest()[:32]


def signed_headers(
    *,
    message_id: str,
    timestamp: int,
    body: bytes,
    keys: Sequence[Key],
    replay_id: UUID | None = None,
    content: Sequence[str] = (f"Content-Type: {CONTENT_TYPE}",),
    security: Security = ORDINARY,
    token: str = "",
) -> list[str]:
    """The header lines of one attempt; `timestamp` is the attempt's own, in Unix seconds."""
    lines = [
        *content,
        f"webhook-id: {message_id}",
        f"webhook-timestamp: {timestamp}",
        *security.header_lines(
            keys, message_id=message_id, timestamp=timestamp, body=body, token=token
        ),
        # libcurl would ask first, and wait, before it sends a body above 1 MiB.
        "Expect:",
    ]
    if replay_id is not None:
        lines.append(f"webhook-replay: {replay_id}")
    return lines


def shown_headers(lines: Sequence[str], *, secret: Collection[str] = ()) -> dict[str, str]:
    """Header lines as they are kept with the attempt: without the signature or another secret.

    `secret` are further names to mask, in lower case.
    """
    shown: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(":")
        if text:
            lower, is_masked = _known_name(name)
            shown[lower] = MASK if is_masked or lower in secret else text.strip()
    return shown


@lru_cache(maxsize=1024)
def _known_name(name: str) -> tuple[str, bool]:
    lower = name.lower()
    return lower, is_secret(lower)


def _timestamp(moment: datetime) -> str:
    return _moment(moment)[1:-1].decode()


def _moment(moment: datetime) -> bytes:
    """As JSON, in UTC and with its Z."""
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return orjson.dumps(utc, option=orjson.OPT_UTC_Z)
