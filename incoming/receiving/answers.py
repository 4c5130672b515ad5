"""The answers' form."""

from __future__ import annotations

from typing import Final

import orjson
from django.http import HttpResponse

from incoming.providers import Answer

UNAVAILABLE_RETRY_SECONDS: Final = 5


def given_answer(answer: Answer) -> HttpResponse:
    """An answer as a provider or a source words it."""
    return HttpResponse(
        answer.body,
        status=answer.status,
        content_type=answer.content_type,
        headers={"X-Content-Type-Options": "nosniff", **answer.headers},
    )


def json_answer(status: int, body: dict[str, str]) -> HttpResponse:
    """An answer of our own."""
    return HttpResponse(orjson.dumps(body), status=status, content_type="application/json")
