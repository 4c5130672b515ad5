"""The door: one call in, verified over its raw bytes, one durable row, one short answer.

In order: method and size, address, rate by address, authentication and signature, payload, rate of
the source, store. Whatever a stranger sends gets an answer with a cause, and one below 500 unless
the fault is ours.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson
import structlog
from django import db
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django_ratelimit.core import get_usage

from incoming.masking import forms_of
from incoming.models import Receipt, SchemaMode, Source
from incoming.payload import (
    ENCODINGS,
    GZIP_START,
    BodyTooLarge,
    BodyUnreadable,
    content_encoding,
    expanded,
    is_json,
    is_readable,
    media_type,
    parse,
)
from incoming.providers import Answer, Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.locator import locate
from incoming.refusals import record_refusal
from incoming.repeats import First, dedup_slot, first_in_window, first_of_slot
from incoming.services import learn_secret
from incoming.sources import KnownSource, source_by_token
from incoming.store import store
from subscriptions.schemas import check_payload
from webhooks_project.lib import clock
from webhooks_project.lib.client_address import client_address, in_networks
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.redaction import MASK
from webhooks_project.lib.sql import insert_instance
from webhooks_project.queues import wake
from webhooks_project.uncounted import Kind, mark_uncounted

log = structlog.get_logger(__name__)

STATUS_OF: Final = {
    Cause.METHOD_NOT_ALLOWED: 405,
    Cause.UNSUPPORTED_MEDIA_TYPE: 415,
    Cause.PAYLOAD_TOO_LARGE: 413,
    Cause.ADDRESS_NOT_ALLOWED: 403,
    Cause.RATE_LIMITED: 429,
    Cause.SOURCE_DISABLED: 403,
    Cause.PAYLOAD_UNPARSABLE: 400,
    Cause.SCHEMA_MISMATCH: 422,
    Cause.HANDSHAKE_REFUSED: 403,
    # Not the sender's fault: it should come again.
    Cause.KEY_UNAVAILABLE: 503,
    Cause.SOURCE_MISCONFIGURED: 503,
}  # every other cause is a failed proof: 401, which some providers' checks insist on
PATH_PREFIX: Final = "/in/"
UNAVAILABLE_RETRY_SECONDS: Final = 5
MAX_SCHEMA_ERRORS: Final = 10  # kept with a receipt


@dataclass(slots=True)
class Arrival:
    """A call on its way through the door. `call` has its body expanded once that was needed;
    `verdict` is set once it is verified."""

    source: KnownSource
    call: Call
    raw_body: bytes
    remote_address: str
    request_id: str
    verdict: Verified | None = None
    schema_errors: list[dict[str, str]] = field(default_factory=list)


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
    if method not in source.methods and method not in ("GET", "HEAD"):
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
        raw_body=body,
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
        if call.method not in source.methods:
            return Refused(Cause.METHOD_NOT_ALLOWED)
    if refused := verify(arrival, secrets) or _check_payload(arrival):
        return refused
    if not source.provider.unsigned_handshake:
        answer = source.provider.handshake(arrival.call, secrets, source.options)
        if answer is not None:
            return _shake_hands(arrival, answer)
    if limited := _over_rate(request, str(source.id), "source", source.rate_per_minute):
        return limited
    return _store(arrival)


def verify(arrival: Arrival, secrets: list[Secret]) -> Refused | None:
    """Judge the bytes that came; where they are compressed and do not fit, what they expand to.

    Some third parties sign what they send, others what they compressed.
    """
    source, came = arrival.source, arrival.call
    expansion = _expansion(arrival) if content_encoding(came.headers) else came
    verdict = _verdict(source, came, secrets)
    if isinstance(verdict, Refused) and isinstance(expansion, Call) and expansion is not came:
        second = _verdict(source, expansion, secrets)
        verdict = second if isinstance(second, Verified) else verdict
    if isinstance(verdict, Refused):
        return verdict
    arrival.verdict = verdict
    if isinstance(expansion, Refused):  # only who is proved hears that the compression is wrong
        return expansion
    arrival.call = expansion
    return None


def _verdict(source: KnownSource, call: Call, secrets: list[Secret]) -> Verified | Refused:
    return source.provider.verify(
        call, secrets, tolerance_seconds=source.tolerance_seconds, options=source.options
    )


def _expansion(arrival: Arrival) -> Call | Refused:
    call = arrival.call
    if content_encoding(call.headers) not in ENCODINGS:
        return Refused(Cause.UNSUPPORTED_MEDIA_TYPE, "a body may be compressed with gzip alone")
    try:
        return replace(call, body=expanded(call.body, call.headers, arrival.source.max_body_bytes))
    except BodyTooLarge:
        limit = arrival.source.max_body_bytes
        return Refused(Cause.PAYLOAD_TOO_LARGE, f"it expands to more than {limit} bytes")
    except BodyUnreadable as error:
        return Refused(Cause.PAYLOAD_UNPARSABLE, str(error))


def _check_payload(arrival: Arrival) -> Refused | None:
    call, source = arrival.call, arrival.source
    kind = media_type(call.headers)
    if source.content_types:
        if kind not in source.content_types:
            taken = ", ".join(sorted(source.content_types))
            return Refused(Cause.UNSUPPORTED_MEDIA_TYPE, f"this source takes {taken}")
    elif not is_readable(kind):
        return Refused(Cause.UNSUPPORTED_MEDIA_TYPE)
    bodiless = call.method in ("GET", "DELETE") and not call.body
    if is_json(kind) and not bodiless and call.json is None and call.body.strip() != b"null":
        return Refused(Cause.PAYLOAD_UNPARSABLE, "the body is not JSON")
    if source.schema is None:
        return None
    errors = check_payload(source.schema, parse(call.body, call.headers.get("content-type", "")))
    arrival.schema_errors = [
        {"path": _storable(error.path), "message": _storable(error.message)}
        for error in errors[:MAX_SCHEMA_ERRORS]
    ]
    if errors and source.schema_mode == SchemaMode.REJECT:
        return Refused(Cause.SCHEMA_MISMATCH, f"at {errors[0].path or 'the root'}: it does not fit")
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


def _store(arrival: Arrival) -> HttpResponse:
    source = arrival.source
    receipt = receipt_of(arrival, Receipt.Status.ACCEPTED, identify(arrival))
    receipt.dedup_slot = dedup_slot(source, receipt)
    if arrival.schema_errors and source.schema_mode == SchemaMode.QUARANTINE:
        receipt.cause = Cause.SCHEMA_MISMATCH.value
        receipt.quarantined_at = receipt.received_at
    else:
        receipt.next_attempt_at = receipt.received_at
    if first := first_in_window(source, receipt):
        return _store_duplicate(arrival, receipt, first)
    try:
        store.insert(receipt)
    except IntegrityError:
        return _store_duplicate(arrival, receipt, first_of_slot(receipt))
    if receipt.next_attempt_at is not None:
        wake("processing")
    log.info("receipt accepted", receipt_id=str(receipt.pk), source_id=str(receipt.source_id),
             type=receipt.type, body_bytes=len(arrival.raw_body))  # fmt: skip
    return _acknowledge(arrival, receipt)


def identify(arrival: Arrival) -> Identity:
    """The third party's name for the call, or the digest of the fields that the source chose."""
    source, call = arrival.source, arrival.call
    identity = source.provider.identify(call, source.options)
    if not source.dedup_fields:
        return identity
    values = [locate(call, locator) for locator in source.dedup_fields]
    if all(value is None for value in values):
        return replace(identity, external_id="")
    digest = hashlib.sha256(orjson.dumps([value and _storable(value) for value in values]))
    return replace(identity, external_id=f"fields:{digest.hexdigest()}")


@transaction.atomic
def _store_duplicate(arrival: Arrival, receipt: Receipt, first: First) -> HttpResponse:
    """The id is known: keep the repeat as one, and answer well so that it stops."""
    receipt.status = Receipt.Status.DUPLICATE.value
    receipt.cause = ""
    receipt.is_counted = True
    receipt.dedup_slot = receipt.next_attempt_at = receipt.quarantined_at = None
    same_body = bytes(first[1]) == bytes(receipt.body_sha256)
    receipt.detail = f"repeats {first[0]}" + ("" if same_body else ", with another body")
    insert_instance(receipt)
    mark_uncounted(Kind.RECEIPT, [receipt.received_at])
    Source.objects.filter(pk=receipt.source_id).update(
        duplicate_count=F("duplicate_count") + 1,
        last_received_at=receipt.received_at,
        last_verified_at=receipt.received_at,
    )
    log.info("receipt is a duplicate", receipt_id=str(receipt.pk), source_id=str(receipt.source_id),
             repeats_id=str(first[0]), same_body=same_body)  # fmt: skip
    return _acknowledge(arrival, receipt)


def _acknowledge(arrival: Arrival, receipt: Receipt) -> HttpResponse:
    source = arrival.source
    answer = source.answer
    if answer is None:
        secrets = source.valid_secrets(clock.now())
        answer = source.provider.acknowledge(arrival.call, secrets, source.options)
    if answer is not None:
        return _given(answer)
    return _answer(200, {"status": str(receipt.status), "receipt": str(receipt.pk)})


def _shake_hands(arrival: Arrival, answer: Answer | Refused) -> HttpResponse | Refused:
    if isinstance(answer, Refused):
        return answer
    if answer.learned_secret:
        learn_secret(source_id=arrival.source.id, secret=answer.learned_secret)
    # A handshake may be proved by any of the secrets, or tell one.
    secrets = [secret.value for secret, _ in arrival.source.secrets]
    told = forms_of([*secrets, answer.learned_secret])
    never_kept = (*arrival.source.never_kept, *(form.encode("utf-8", "replace") for form in told))
    arrival.source = replace(arrival.source, never_kept=never_kept)
    receipt = receipt_of(arrival, Receipt.Status.HANDSHAKE, Identity())
    with transaction.atomic():
        insert_instance(receipt)
        mark_uncounted(Kind.RECEIPT, [receipt.received_at])
    log.info("handshake answered", receipt_id=str(receipt.pk), source_id=str(receipt.source_id))
    return _given(answer)


def _given(answer: Answer) -> HttpResponse:
    return HttpResponse(
        answer.body,
        status=answer.status,
        content_type=answer.content_type,
        headers={"X-Content-Type-Options": "nosniff", **answer.headers},
    )


def receipt_of(arrival: Arrival, status: Receipt.Status, identity: Identity) -> Receipt:
    """The receipt as it is kept, not stored yet: without what proves its sender."""
    call, verdict, source = arrival.call, arrival.verdict, arrival.source
    body, headers = _kept_body(arrival)
    query = _without_secrets(source, call.url.partition("?")[2].encode("utf-8", "replace"))
    return Receipt(
        id=new_id(),
        account_id=source.account_id,
        source_id=source.id,
        status=status.value,
        external_id=_storable(identity.external_id),
        type=_storable(identity.type),
        method=call.method,
        query=_storable(query.decode()),
        headers=_without_secrets(source, _headers_text(headers)),
        body=body,
        body_sha256=hashlib.sha256(body).digest(),
        remote_address=arrival.remote_address,
        request_id=arrival.request_id,
        received_at=clock.from_unix(call.received_at),
        is_verified=verdict is not None,
        secret_id=verdict.secret_id if verdict else "",
        signed_at=clock.from_unix(verdict.signed_at) if verdict else None,
        schema_errors=arrival.schema_errors,
    )


def _kept_body(arrival: Arrival) -> tuple[bytes, Mapping[str, str]]:
    """The body as it is kept, and the headers that say so.

    A compressed one that has a secret in it is kept expanded, without the secret and the header;
    one that cannot be looked into is not kept.
    """
    source, call = arrival.source, arrival.call
    raw = _without_secrets(source, arrival.raw_body)
    if not source.never_kept or not content_encoding(call.headers):
        return raw, call.headers
    expansion = _expansion(arrival) if call.body is arrival.raw_body else call
    if isinstance(expansion, Refused):
        is_plain = content_encoding(call.headers) in ENCODINGS and not raw.startswith(GZIP_START)
        return raw if is_plain else b"", call.headers
    body = _without_secrets(source, expansion.body)
    if body == expansion.body:
        return raw, call.headers
    return body, {name: text for name, text in call.headers.items() if name != "content-encoding"}


def _without_secrets(source: KnownSource, text: bytes) -> bytes:
    """The text as it is kept: a replay needs no proof again, so no secret stays in it."""
    for form in source.never_kept:
        if form in text:
            text = text.replace(form, MASK.encode())
    return text


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
        identity = identify(arrival) if arrival.verdict else Identity()
        receipt = receipt_of(arrival, Receipt.Status.REFUSED, identity)
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
        response["Allow"] = ", ".join(sorted(source.methods))
    if refused.cause is Cause.RATE_LIMITED:
        response["Retry-After"] = str(getattr(request, "retry_after", 1))
    elif response.status_code == 503:
        response["Retry-After"] = str(UNAVAILABLE_RETRY_SECONDS)
    return response


def _answer(status: int, body: dict[str, str]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
