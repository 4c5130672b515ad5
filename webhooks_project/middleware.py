"""What every answer has: the request's id, taken from a header or made here and in every log line,
and the end of a connection whose next call would begin amid an unread body. And a body for every
request that has one, also in chunks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars

from webhooks_project.lib.actor import SYSTEM, current_actor
from webhooks_project.lib.ids import new_id

TOO_LARGE: Final = 413  # of such a body only the beginning was read
_GIVEN = re.compile(r"[A-Za-z0-9._-]{8,64}")


def request_id(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware. A caller's X-Request-ID is kept where it is plain and of a sane length."""

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        identifier = given if _GIVEN.fullmatch(given) else new_id().hex
        request.request_id = identifier  # type: ignore[attr-defined]
        clear_contextvars()
        current_actor.set(SYSTEM)  # this thread's last caller is not this one
        bind_contextvars(request_id=identifier)
        response = get_response(request)
        response["X-Request-ID"] = identifier
        return response

    return middleware


def close_unread(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware. Says `Connection: close` where the request's body was not read to its end.

    The web server drops such a connection in any case. Who is not told sends the next call on it,
    and gets no answer.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        # One sent in chunks has no length, and is read past the request where it is read at all.
        has_body = request.META.get("CONTENT_LENGTH") not in (None, "", "0")
        is_read = getattr(request, "_read_started", True) and response.status_code != TOO_LARGE
        if has_body and not is_read:
            response["Connection"] = "close"
        return response

    return middleware


def take_chunks(
    get_response: Callable[[HttpRequest], HttpResponse],
) -> Callable[[HttpRequest], HttpResponse]:
    """Middleware. Has a body in chunks read, up to one byte more than is allowed.

    It has no length, so Django takes it for an empty one.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        is_chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
        if is_chunked and not request.META.get("CONTENT_LENGTH"):
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            request.META["CONTENT_LENGTH"] = str(limit)
            stream = LimitedStream(request.META["wsgi.input"], limit + 1)
            request._stream = stream  # type: ignore[assignment]
        return get_response(request)

    return middleware
