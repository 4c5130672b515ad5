"""The door: one call in, verified over its raw bytes, one durable row, one short answer.

In order: method and size, address, rate by address, authentication and signature, payload, rate of
the source, store. Whatever a stranger sends gets an answer below 500 with a cause.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from django import db
from django.conf import settings
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django_ratelimit.core import get_usage

from incoming.models import Receipt
from incoming.providers import Answer, Call, Cause, Identity, Refused, Verified
from incoming.refusals import record_refusal
from incoming.services import learn_secret
from incoming.sources import KnownSource, source_by_token
from webhooks_project.lib import clock
from webhooks_project.lib.client_address import client_address, in_networks
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import insert_instance
from webhooks_project.queues import wake

log = structlog.get_logger(__name__)

STATUS_OF: Final = {
    Cause.METHOD_NOT_ALLOWED: 405,
    Cause.UNSUPPORTED_MEDIA_TYPE: 415,
    Cause.PAYLOAD_TOO_LARGE: 413,
    Cause.ADDRESS_NOT_ALLOWED: 403,
    Cause.RATE_LIMITED: 429,
    Cause.SOURCE_DISABLED: 403,
    Cause.PAYLOAD_UNPARSABLE: 400,
    Cause.HANDSHAKE_REFUSED: 403,
}  # every other cause is a failed proof: 401, which some providers' checks insist on
PATH_PREFIX: Final = "/in/"
MEDIA_TYPES: Final = frozenset(
    {
        "application/json",
        "application/x-www-form-urlencoded",
        "application/xml",
        "multipart/form-data",
        "text/json",
        "text/plain",
        "text/xml",
        "",  # none given
    }
)
UNAVAILABLE_RETRY_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call on its way through the door."""

    source: KnownSource
    call: Call
    remote_address: str
    request_id: str


def door(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware that answers ingest URLs before sessions, CSRF and the rest would look at them."""

    def middleware(request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path.startswith(PATH_PREFIX) and "/" not in path[len(PATH_PREFIX) :]:
            response = receive(request, path[len(PATH_PREFIX) :])
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
            return _answer(404, {"cause": "unknown_source"})
        arrival = _arrive(request, source)
        if isinstance(arrival, Refused):
            return _refuse(request, source, None, arrival)
        outcome = _judge(request, arrival)
        if isinstance(outcome, Refused):
            return _refuse(request, source, arrival, outcome)
        return outcome
    except (db.Error, OSError) as error:
        # Full, read-only, locked or away: the sender is told to come again, and nothing is lost.
        log.error("receipt not stored", error=str(error)[:300])
        response = _answer(503, {"cause": "unavailable"})
        response["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
        return response


def _arrive(request: HttpRequest, source: KnownSource) -> Arrival | Refused:
    """Read the call, within the source's bounds."""
    if source.disabled:
        return Refused(Cause.SOURCE_DISABLED)
    method = request.method or ""
    if method not in source.provider.methods and method not in ("GET", "HEAD"):
        return Refused(Cause.METHOD_NOT_ALLOWED)
    body = _read_body(request, source.max_body_bytes)
    if body is None:
        return Refused(Cause.PAYLOAD_TOO_LARGE, f"at most {source.max_body_bytes} bytes are taken")
    meta = request.META
    query = meta.get("QUERY_STRING", "")
    return Arrival(
        source=source,
        call=Call(
            method=method,
            url=f"{source.url}?{query}" if query else source.url,
            headers=_headers(meta),
            body=body,
            received_at=time.time(),
        ),
        remote_address=_remote_address(request),
        request_id=getattr(request, "request_id", ""),
    )


def _read_body(request: HttpRequest, limit: int) -> bytes | None:
    """The raw body, or None where it is larger than `limit`; never more is read.

    Django takes a chunked body, which has no length, for an empty one; so the server's stream is
    read itself.
    """
    length = request.META.get("CONTENT_LENGTH") or ""
    # Python reads no number of thousands of digits, and this one is a stranger's.
    if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > limit):
        return None
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    stream = request.META["wsgi.input"] if chunked and not length else request
    body = stream.read(limit + 1)
    return None if len(body) > limit else body


def _headers(meta: dict[str, Any]) -> dict[str, str]:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in meta.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if meta.get(name):
            headers[name.replace("_", "-").lower()] = meta[name]
    return headers


def _remote_address(request: HttpRequest) -> str:
    return client_address(
        remote_address=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted_proxies=settings.TRUSTED_PROXIES,
    )


def _judge(request: HttpRequest, arrival: Arrival) -> HttpResponse | Refused:
    source, call = arrival.source, arrival.call
    if source.allowed_networks and not in_networks(arrival.remote_address, source.allowed_networks):
        return Refused(Cause.ADDRESS_NOT_ALLOWED)
    if limited := _over_rate(
        request, f"{source.id}:address", arrival.remote_address, source.rate_per_minute_per_address
    ):
        return limited
    secrets = source.valid_secrets(clock.now())
    if call.method in ("GET", "HEAD") or source.provider.unsigned_handshake:
        answer = source.provider.handshake(call, secrets, source.options)
        if answer is not None:
            return _shake_hands(arrival, answer)
        if call.method in ("GET", "HEAD"):
            return Refused(Cause.METHOD_NOT_ALLOWED)
    verdict = source.provider.verify(
        call, secrets, tolerance_seconds=source.tolerance_seconds, options=source.options
    )
    if isinstance(verdict, Refused):
        return verdict
    if refused := _check_payload(call):
        return refused
    if not source.provider.unsigned_handshake:
        answer = source.provider.handshake(call, secrets, source.options)
        if answer is not None:
            return _shake_hands(arrival, answer)
    if limited := _over_rate(request, str(source.id), "source", source.rate_per_minute):
        return limited
    return _store(arrival, verdict)


def _check_payload(call: Call) -> Refused | None:
    media_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_json = media_type.endswith(("/json", "+json"))
    if media_type not in MEDIA_TYPES and not is_json:
        return Refused(Cause.UNSUPPORTED_MEDIA_TYPE)
    if call.headers.get("content-encoding", "identity").lower() != "identity":
        return Refused(Cause.UNSUPPORTED_MEDIA_TYPE, "a compressed body is not taken")
    if is_json and call.json is None and call.body.strip() != b"null":
        return Refused(Cause.PAYLOAD_UNPARSABLE, "the body is not JSON")
    return None


def _over_rate(request: HttpRequest, group: str, value: str, per_minute: int) -> Refused | None:
    # A cache of each process's own sees only that process's share of the calls.
    own_cache = not settings.REDIS_URL
    limit = max(1, per_minute // settings.WEB_PROCESSES) if own_cache else per_minute
    try:
        usage = get_usage(
            request, group=group, key=lambda *_: value, rate=(limit, 60), increment=True
        )
    except Exception as error:
        # With the cache down webhooks are still received; its client's errors are of no one family.
        log.warning("the rate was not counted", error=str(error)[:200])
        return None
    if usage is None or not usage["should_limit"]:
        return None
    request.retry_after = max(1, usage["time_left"])  # type: ignore[attr-defined]
    return Refused(Cause.RATE_LIMITED)


def _store(arrival: Arrival, verdict: Verified) -> HttpResponse:
    identity = arrival.source.provider.identify(arrival.call, arrival.source.options)
    receipt = _receipt(arrival, Receipt.Status.ACCEPTED, identity)
    receipt.secret_id = verdict.secret_id
    receipt.signed_at = clock.from_unix(verdict.signed_at)
    receipt.next_attempt_at = receipt.received_at
    try:
        insert_instance(receipt)
    except IntegrityError:
        return _store_duplicate(arrival, receipt)
    wake("processing")
    log.info("receipt accepted", receipt_id=str(receipt.pk), source_id=str(receipt.source_id),
             type=receipt.type, body_bytes=len(arrival.call.body))  # fmt: skip
    return _acknowledge(arrival, receipt)


def _store_duplicate(arrival: Arrival, receipt: Receipt) -> HttpResponse:
    """The provider's id is known: keep the repeat as one, and answer well so that it stops."""
    first = (
        Receipt.objects.filter(source_id=receipt.source_id, external_id=receipt.external_id)
        .exclude(status__in=(Receipt.Status.REFUSED, Receipt.Status.DUPLICATE))
        .values_list("pk", "body_sha256")
        .first()
    )
    if first is None:
        raise IntegrityError("the receipt was not stored, and no earlier one stands in its way")
    receipt.status = Receipt.Status.DUPLICATE.value
    receipt.next_attempt_at = None
    same_body = bytes(first[1]) == bytes(receipt.body_sha256)
    receipt.detail = f"repeats {first[0]}" + ("" if same_body else ", with another body")
    insert_instance(receipt)
    log.info("receipt is a duplicate", receipt_id=str(receipt.pk), source_id=str(receipt.source_id),
             repeats_id=str(first[0]), same_body=same_body)  # fmt: skip
    return _acknowledge(arrival, receipt)


def _acknowledge(arrival: Arrival, receipt: Receipt) -> HttpResponse:
    answer = arrival.source.provider.acknowledge(arrival.call)
    if answer is not None:
        return _given(answer)
    return _answer(200, {"status": str(receipt.status), "receipt": str(receipt.pk)})


def _shake_hands(arrival: Arrival, answer: Answer | Refused) -> HttpResponse | Refused:
    if isinstance(answer, Refused):
        return answer
    if answer.learned_secret:
        learn_secret(source_id=arrival.source.id, secret=answer.learned_secret)
    receipt = _receipt(arrival, Receipt.Status.HANDSHAKE, Identity())
    insert_instance(receipt)
    log.info("handshake answered", receipt_id=str(receipt.pk), source_id=str(receipt.source_id))
    return _given(answer)


def _given(answer: Answer) -> HttpResponse:
    return HttpResponse(
        answer.body,
        status=answer.status,
        content_type=answer.content_type,
        headers={"X-Content-Type-Options": "nosniff", **answer.headers},
    )


def _receipt(arrival: Arrival, status: Receipt.Status, identity: Identity) -> Receipt:
    call = arrival.call
    return Receipt(
        id=new_id(),
        account_id=arrival.source.account_id,
        source_id=arrival.source.id,
        status=status.value,
        external_id=_storable(identity.external_id),
        type=_storable(identity.type),
        method=call.method,
        query=_storable(call.url.partition("?")[2]),
        headers=_headers_text(call.headers),
        body=call.body,
        body_sha256=hashlib.sha256(call.body).digest(),
        remote_address=arrival.remote_address,
        request_id=arrival.request_id,
        received_at=clock.from_unix(call.received_at),
    )


def _headers_text(headers: Mapping[str, str]) -> bytes:
    try:
        return orjson.dumps(headers)
    except orjson.JSONEncodeError:
        return orjson.dumps({_storable(name): _storable(text) for name, text in headers.items()})


def _storable(text: str) -> str:
    # PostgreSQL takes no NUL in a text, and nothing takes half a surrogate pair.
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def _refuse(
    request: HttpRequest, source: KnownSource, arrival: Arrival | None, refused: Refused
) -> HttpResponse:
    receipt = None
    if arrival is not None:
        receipt = _receipt(arrival, Receipt.Status.REFUSED, Identity())
    record_refusal(
        source_id=source.id,
        account_id=source.account_id,
        refused=refused,
        receipt=receipt,
        now=clock.now(),
    )
    log.info("call refused", source_id=str(source.id), cause=refused.cause.value,
             remote_address=_remote_address(request))  # fmt: skip
    body = {"cause": refused.cause.value}
    if refused.detail:
        body["detail"] = refused.detail
    response = _answer(STATUS_OF.get(refused.cause, 401), body)
    if refused.cause is Cause.METHOD_NOT_ALLOWED:
        response["Allow"] = ", ".join(sorted(source.provider.methods))
    if refused.cause is Cause.RATE_LIMITED:
        response["Retry-After"] = str(getattr(request, "retry_after", 1))
    return response


def _answer(status: int, body: dict[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
