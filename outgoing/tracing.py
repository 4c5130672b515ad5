"""Spans of what is published and of each attempt to deliver it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import transaction

from outgoing.judge import Delivered
from outgoing.models import Event
from webhooks_project.lib import clock
from webhooks_project.lib.trace_context import accept_trace
from webhooks_project.tracing import Place, Tracing, span_of, tracing

if TYPE_CHECKING:
    from outgoing.record import Result

PUBLISH: Final = "publish"
ATTEMPT: Final = "attempt"


def traceparent_of_new(event_id: UUID) -> str:
    """The trace that begins with an event that belongs to none yet; empty where traces are off."""
    if (spans := tracing()) is None:
        return ""
    return spans.place_of("", event_id).traceparent_for(span_of(PUBLISH, event_id))


def trace_published(events: Sequence[Event], started_at: datetime) -> None:
    """A span of each event that is new, once it is committed."""
    if (spans := tracing()) is None:
        return
    seconds = (clock.now() - started_at).total_seconds()

    def record() -> None:
        for event in events:
            own = span_of(PUBLISH, event.pk)
            spans.record(
                f"publish {event.type}",
                kind="producer",
                place=_before(spans.place_of(event.traceparent, event.pk), own),
                span=own,
                started_at=started_at,
                seconds=seconds,
                facts={
                    "webhooks.event_id": str(event.pk),
                    "webhooks.event_type": event.type,
                    "webhooks.account_id": str(event.account_id),
                    "webhooks.request_id": event.correlation_id,
                },
            )

    transaction.on_commit(record)


def trace_attempts(results: Sequence[Result]) -> None:
    """A span of each attempt that was written down."""
    if (spans := tracing()) is None:
        return
    sent = [accept_trace(_header(result.request_headers, "traceparent"))[0] for result in results]
    # Of a batch, and of what was never sent, the event alone tells.
    missing = {
        result.claim.event_id for result, told in zip(results, sent, strict=True) if not told
    }
    rows = Event.objects.filter(pk__in=missing).values_list("pk", "traceparent") if missing else ()
    known: dict[UUID, str] = dict(rows)
    for result, told in zip(results, sent, strict=True):
        event_id = result.claim.event_id
        place = spans.place_of(told or known.get(event_id, ""), event_id)
        # The receiver was told a span of its own: it is this one.
        own = span_of(ATTEMPT, result.claim.delivery_id, result.number)
        _trace_attempt(spans, result, place, place.parent if told else own)


def _trace_attempt(spans: Tracing, result: Result, place: Place, own: int) -> None:
    claim, response = result.claim, result.response
    cause = "" if isinstance(result.step, Delivered) else result.step.cause.value
    spans.record(
        "deliver",
        kind="client",
        place=Place(place.trace, span_of(PUBLISH, claim.event_id), place.is_sampled),
        span=own,
        started_at=result.started_at,
        seconds=response.total_ms / 1000,
        facts={
            "webhooks.event_id": str(claim.event_id),
            "webhooks.delivery_id": str(claim.delivery_id),
            "webhooks.subscription_id": str(claim.subscription_id),
            "webhooks.account_id": str(result.account_id),
            "webhooks.request_id": result.correlation_id,
            "webhooks.trigger": claim.trigger,
            "webhooks.attempt": result.number,
            "webhooks.cause": cause,
            "webhooks.queue_wait_ms": max(
                0.0, (result.started_at - claim.due_at).total_seconds() * 1000
            ),
            "webhooks.first_byte_ms": response.first_byte_ms,
            "http.request.method": "POST",
            "http.request.body.size": result.request_bytes,
            "http.response.status_code": response.status,
        },
        error=cause,
    )


def _before(place: Place, own: int) -> Place:
    """The place of a span that its event's traceparent may name itself: then it is the first."""
    return Place(place.trace, 0, place.is_sampled) if place.parent == own else place


def _header(headers: Any, name: str) -> str:
    return str(next((text for key, text in headers.items() if key.lower() == name), ""))
