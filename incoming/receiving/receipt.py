"""The receipt of a call, as it is kept: without what proves its sender."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import orjson

from incoming.models import Receipt
from incoming.payload import ENCODINGS, GZIP_START, content_encoding
from incoming.providers import Identity, Refused
from incoming.providers.locator import locate
from incoming.receiving.arrival import Arrival
from incoming.receiving.proof import expansion_of
from incoming.sources import KnownSource
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.redaction import MASK


def identify(arrival: Arrival) -> Identity:
    """The third party's name for the call, or the digest of the fields that the source chose."""
    source, call = arrival.source, arrival.call
    identity = source.provider.identify(call, source.options)
    if not source.dedup_fields:
        return identity
    values = [locate(call, locator) for locator in source.dedup_fields]
    if all(value is None for value in values):
        return replace(identity, external_id="")
    digest = hashlib.sha256(orjson.dumps([value and storable(value) for value in values]))
    return replace(identity, external_id=f"fields:{digest.hexdigest()}")


def receipt_of(arrival: Arrival, status: Receipt.Status, identity: Identity) -> Receipt:
    """The receipt as it is kept, not stored yet: without what proves its sender."""
    call, verdict, source = arrival.call, arrival.verdict, arrival.source
    body, headers = _kept_body(arrival)
    query = _without_secrets(source, call.url.partition("?")[2].encode("utf-8", "replace"))
    arrival.receipt_id = new_id()
    return Receipt(
        id=arrival.receipt_id,
        account_id=source.account_id,
        source_id=source.id,
        status=status.value,
        external_id=storable(identity.external_id),
        type=storable(identity.type),
        method=call.method,
        query=storable(query.decode()),
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
    expansion = expansion_of(arrival) if call.body is arrival.raw_body else call
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
        return orjson.dumps({storable(name): storable(text) for name, text in headers.items()})


def storable(text: str) -> str:
    """The text without what a database does not take."""
    # PostgreSQL takes no NUL in a text, and nothing takes half a surrogate pair.
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
