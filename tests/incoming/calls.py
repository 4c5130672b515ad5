"""Calls to an ingest URL, as the third parties make them."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import orjson
from django.http import HttpResponse
from django.test import Client

from incoming.models import Receipt, RefusalCount, Source
from outgoing.models import Event
from tests.factories import SOURCE_SECRET
from webhooks_project.lib.ids import new_id

# One for all: a new client loads every middleware anew.
_CLIENT = Client()

BODY = '{"action":"opened","title":"Zoë"}'.encode()


def hex_hmac(body: bytes, secret: str = SOURCE_SECRET) -> str:
    return hmac.digest(secret.encode(), body, "sha256").hex()


def base64_hmac(body: bytes, secret: str = SOURCE_SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def github_headers(
    body: bytes, *, secret: str = SOURCE_SECRET, **headers: str | None
) -> dict[str, str]:
    """Headers of a right call; a keyword such as `x_github_event` sets one, None takes it away."""
    given = {
        "x_hub_signature_256": f"sha256={hex_hmac(body, secret)}",
        "x_github_event": "issues",
        "x_github_delivery": str(new_id()),
    } | headers
    return {name.replace("_", "-"): text for name, text in given.items() if text is not None}


def post(
    source: Source | str,
    body: bytes = BODY,
    *,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
    method: str = "POST",
    client: Client | None = None,
    query: str = "",
    **environ: Any,
) -> HttpResponse:
    """One call as it stands, by default rightly signed as GitHub signs it."""
    path = source if isinstance(source, str) else source.path
    return (client or _CLIENT).generic(
        method,
        f"{path}?{query}" if query else path,
        body,
        content_type=content_type,
        headers=github_headers(body) if headers is None else headers,
        **environ,
    )


def answer_of(response: HttpResponse) -> Any:
    assert response["Content-Type"] == "application/json"
    return orjson.loads(response.content)


def refusal_counts() -> dict[str, int]:
    return dict(RefusalCount.objects.values_list("cause", "count"))


def assert_refused(
    response: HttpResponse, status: int, cause: str, *, kept: bool = True, detail: str | None = None
) -> None:
    """It was refused for this cause, counted once, and nothing came of it."""
    answer = answer_of(response)
    assert (response.status_code, answer["cause"]) == (status, cause)
    if detail is None:
        assert set(answer) <= {"cause", "detail"}
    else:
        assert answer == {"cause": cause, "detail": detail}
    assert refusal_counts() == {cause: 1}
    rows = list(Receipt.objects.values_list("status", "cause", "next_attempt_at", "dedup_slot"))
    assert rows == ([("refused", cause, None, None)] if kept else [])
    source = Source.objects.get(refused_count=1)
    assert source.last_error == cause
    assert source.last_received_at == source.last_error_at
    assert source.last_verified_at is None
    assert Event.objects.count() == 0
