"""A call as it came: read within its source's bounds."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest

from incoming.providers import Call, Cause, Refused, Verified
from incoming.sources import KnownSource
from webhooks_project.lib.client_address import client_address


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
    receipt_id: UUID | None = None
    schema_errors: list[dict[str, str]] = field(default_factory=list)


def arrive(request: HttpRequest, source: KnownSource) -> Arrival | Refused:
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
        remote_address=remote_address_of(request),
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


def remote_address_of(request: HttpRequest) -> str:
    """Where the call came from, past the proxies that we trust."""
    return client_address(
        remote_address=request.META.get("REMOTE_ADDR", ""),
        forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", ""),
        trusted_proxies=settings.TRUSTED_PROXIES,
    )
