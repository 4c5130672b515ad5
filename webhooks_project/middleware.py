"""The request id: taken from a header or made here, in every log line and in the answer."""

from __future__ import annotations

import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from structlog.contextvars import bind_contextvars, clear_contextvars

from webhooks_project.lib.actor import SYSTEM, current_actor
from webhooks_project.lib.ids import new_id

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
