"""The way of a call, from its ingest URL to its answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django import db
from django.http import HttpRequest, HttpResponse

from incoming.providers import Cause, Refused
from incoming.receiving.acceptance import accept
from incoming.receiving.answers import UNAVAILABLE_RETRY_SECONDS, json_answer
from incoming.receiving.arrival import Arrival, arrive
from incoming.receiving.contents import check_contents
from incoming.receiving.handshake import shake_hands
from incoming.receiving.proof import verify
from incoming.receiving.rates import over_rate
from incoming.receiving.refusal import refuse
from incoming.sources import source_by_token
from incoming.tracing import trace_received
from webhooks_project.lib import clock
from webhooks_project.lib.client_address import in_networks
from webhooks_project.tracing import tracing

log = structlog.get_logger(__name__)
PATH_PREFIX: Final = "/in/"


def door(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that answers ingest URLs before sessions, CSRF and the rest would look at them."""

    def middleware(request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.startswith(PATH_PREFIX) and "/" not in path[len(PATH_PREFIX) :]:
            spans = tracing()
            started_at = clock.now() if spans else None
            response = receive(request, path[len(PATH_PREFIX) :])
            if spans and started_at:
                trace_received(request, response, started_at, spans)
            # CommonMiddleware does this for the others; without it the answer would be chunked.
            response.headers.setdefault("Content-Length", str(len(response.content)))
            return response
        return get_response(request)

    return middleware


def receive(request: HttpRequest, token: str) -> HttpResponse:
    """Answer one call to an ingest URL. A 2xx means that the receipt is committed."""
    try:
        source = source_by_token(token)
        if source is None:
            return json_answer(404, {"cause": "unknown_source"})
        arrival = arrive(request, source)
        if isinstance(arrival, Refused):
            return refuse(request, source, None, arrival)
        request.arrival = arrival  # type: ignore[attr-defined]
        outcome = _judge(request, arrival)
        if isinstance(outcome, Refused):
            return refuse(request, source, arrival, outcome)
        return outcome
    except (db.Error, OSError) as error:
        # Full, read-only, locked or away: the sender is told to come again, and nothing is lost.
        log.error("receipt not stored", error=str(error)[:300])
        response = json_answer(503, {"cause": "unavailable"})
        response["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
        return response


def _judge(request: HttpRequest, arrival: Arrival) -> HttpResponse | Refused:
    source, call = arrival.source, arrival.call
    if source.allowed_networks and not in_networks(arrival.remote_address, source.allowed_networks):
        return Refused(Cause.ADDRESS_NOT_ALLOWED)
    if limited := over_rate(
        request, f"{source.id}:address", arrival.remote_address, source.rate_per_minute_per_address
    ):
        return limited
    secrets = source.valid_secrets(clock.now())
    if call.method in ("GET", "HEAD") or source.provider.unsigned_handshake:
        answer = source.provider.handshake(call, secrets, source.options)
        if answer is not None:
            return shake_hands(arrival, answer)
        if call.method not in source.methods:
            return Refused(Cause.METHOD_NOT_ALLOWED)
    if refused := verify(arrival, secrets) or check_contents(arrival):
        return refused
    if not source.provider.unsigned_handshake:
        answer = source.provider.handshake(arrival.call, secrets, source.options)
        if answer is not None:
            return shake_hands(arrival, answer)
    if limited := over_rate(request, str(source.id), "source", source.rate_per_minute):
        return limited
    return accept(arrival)
