"""Spans of what came through the door, and of what followed it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

import orjson
from django.db import transaction
from django.http import HttpRequest, HttpResponse

from incoming.models import Receipt
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.tracing import Place, Tracing, span_of, tracing

if TYPE_CHECKING:
    from incoming.processing.works import Work
    from incoming.receiving.arrival import Arrival

RECEIVE: Final = "receive"
PROCESS: Final = "process"


def trace_received(
    request: HttpRequest, response: HttpResponse, started_at: datetime, spans: Tracing
) -> None:
    """A span of one call, under that of the third party where it told one."""
    arrival: Arrival | None = getattr(request, "arrival", None)
    key: UUID = (arrival.receipt_id if arrival else None) or new_id()
    facts: dict[str, str | int | None] = {
        "http.request.method": request.method,
        "http.response.status_code": response.status_code,
        "webhooks.request_id": getattr(request, "request_id", ""),
        "webhooks.cause": getattr(request, "refused_cause", ""),
    }
    if arrival is not None:
        facts |= {
            "webhooks.source_id": str(arrival.source.id),
            "webhooks.account_id": str(arrival.source.account_id),
            "webhooks.receipt_id": str(arrival.receipt_id or ""),
            "http.request.body.size": len(arrival.raw_body),
        }
    spans.record(
        "receive",
        kind="server",
        place=spans.place_of(request.headers.get("traceparent", ""), key),
        span=span_of(RECEIVE, key),
        started_at=started_at,
        seconds=(clock.now() - started_at).total_seconds(),
        facts=facts,
        error=str(response.status_code) if response.status_code >= 500 else "",
    )


def traceparent_of_events(receipt: Receipt) -> str:
    """What the events of a receipt are told of its trace; empty where traces are off."""
    if (spans := tracing()) is None:
        return ""
    own = span_of(PROCESS, receipt.pk, receipt.round)
    return _place_of(spans, receipt).traceparent_for(own)


def trace_processed(works: Iterable[Work]) -> None:
    """A span of each receipt that was worked off, once that is committed."""
    if (spans := tracing()) is None:
        return

    def record() -> None:
        for work in works:
            actions = len(work.following.actions)
            _record(spans, work.receipt, work.started_at, {"webhooks.actions": actions})

    transaction.on_commit(record)


def trace_failed(receipt: Receipt, cause: str, started_at: datetime) -> None:
    """A span of a receipt that could not be processed this time, once that is committed."""
    if (spans := tracing()) is None:
        return
    facts: dict[str, str | int] = {"webhooks.attempt": receipt.attempt_count}
    transaction.on_commit(lambda: _record(spans, receipt, started_at, facts, error=cause))


def _record(
    spans: Tracing,
    receipt: Receipt,
    started_at: datetime,
    facts: dict[str, str | int],
    error: str = "",
) -> None:
    place = _place_of(spans, receipt)
    spans.record(
        "process",
        kind="consumer",
        place=Place(place.trace, span_of(RECEIVE, receipt.pk), place.is_sampled),
        # A try that failed is followed by others.
        span=span_of(f"{PROCESS} {receipt.attempt_count}" if error else PROCESS, receipt.pk,
                     receipt.round),
        started_at=started_at,
        seconds=(clock.now() - started_at).total_seconds(),
        facts={
            "webhooks.receipt_id": str(receipt.pk),
            "webhooks.source_id": str(receipt.source_id),
            "webhooks.account_id": str(receipt.account_id),
            "webhooks.request_id": receipt.request_id,
            "webhooks.cause": error,
            **facts,
        },
        error=error,
    )  # fmt: skip


def _place_of(spans: Tracing, receipt: Receipt) -> Place:
    try:
        told = orjson.loads(bytes(receipt.headers)).get("traceparent", "")
    except (ValueError, AttributeError):  # they are not kept any more
        told = ""
    return spans.place_of(told if isinstance(told, str) else "", receipt.pk)
