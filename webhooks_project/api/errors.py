"""Errors as problem details (RFC 9457), each with a machine-readable `code`."""

from __future__ import annotations

from typing import Any

import orjson
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.defaults import server_error as page_of_server_error
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from webhooks_project.lib.errors import DomainError

CONTENT_TYPE = "application/problem+json"


def problem_response(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None, and so a 500, only for what nobody foresaw."""
    headers: dict[str, str] = {}
    if isinstance(error, DomainError):
        body = problem_of(error)
    else:
        api_error = _as_api_error(error, context.get("view"))
        if api_error is None:
            return None
        if getattr(api_error, "auth_header", None):
            headers["WWW-Authenticate"] = api_error.auth_header  # type: ignore[attr-defined]
        if getattr(api_error, "wait", None):
            headers["Retry-After"] = str(int(api_error.wait))  # type: ignore[attr-defined]
        body = _from_api_error(api_error)
    request = context.get("request")
    body["request_id"] = getattr(request, "request_id", "")
    set_rollback()
    return Response(body, status=body["status"], headers=headers, content_type=CONTENT_TYPE)


def problem_of(error: DomainError | exceptions.ValidationError) -> dict[str, Any]:
    """The problem that a refusal is answered with."""
    if isinstance(error, DomainError):
        return _problem(error.status, error.code, str(error), error.extra)
    return _from_api_error(error)


@csrf_exempt  # nothing is done, and a program shall hear where it went wrong
def unknown_path(request: HttpRequest) -> HttpResponse:
    """The problem where the API has nothing at an address."""
    body = _problem(404, "not_found", "there is nothing at this address", {})
    body["request_id"] = getattr(request, "request_id", "")
    return HttpResponse(orjson.dumps(body), status=404, content_type=CONTENT_TYPE)


def server_error(request: HttpRequest) -> HttpResponse:
    """What an error that nobody foresaw is answered with: a problem under `/api/`, else a page."""
    if not request.path.startswith("/api/"):
        return page_of_server_error(request)
    body = _problem(500, "internal_error", "the hub failed; its log has the request's id", {})
    body["request_id"] = getattr(request, "request_id", "")
    return HttpResponse(orjson.dumps(body), status=500, content_type=CONTENT_TYPE)


def _as_api_error(error: Exception, view: Any) -> exceptions.APIException | None:
    if isinstance(error, exceptions.APIException):
        return error
    if isinstance(error, Http404):
        return exceptions.NotFound()
    if isinstance(error, PermissionDenied):
        return exceptions.PermissionDenied()
    if isinstance(error, DjangoValidationError):
        detail = error.message_dict if hasattr(error, "error_dict") else error.messages
        return exceptions.ValidationError(detail)
    if isinstance(error, ObjectDoesNotExist) and _is_gone(view):
        return exceptions.NotFound("It was deleted meanwhile.")
    return None


def _is_gone(view: Any) -> bool:
    """Whether the row that the address names is there no longer.

    Asked where a service misses a row: while that one is there, it is a fault of ours, and a 500.
    """
    if not getattr(view, "detail", False):
        return False
    try:
        view.get_object()
    except Http404:
        return True
    return False


def _from_api_error(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        return _problem(
            error.status_code,
            "invalid",
            "the request does not have the form that is asked for",
            {"errors": _flatten(error.get_full_details())},
        )
    detail = error.detail if isinstance(error.detail, str) else str(error)
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else error.default_code
    return _problem(error.status_code, code, str(detail), {})


def _problem(status: int, code: str, detail: str, extra: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": f"urn:webhooks-hub:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "code": code,
        "detail": detail,
        **extra,
    }


def _flatten(details: Any, path: str = "") -> list[dict[str, str]]:
    """DRF's nested error details as a list with a JSON Pointer each."""
    if isinstance(details, dict) and {"message", "code"} <= details.keys():
        return [{"path": path, "code": str(details["code"]), "message": str(details["message"])}]
    if isinstance(details, dict):
        return [
            item
            for name, value in details.items()
            for item in _flatten(value, path if name == "non_field_errors" else f"{path}/{name}")
        ]
    found: list[dict[str, str]] = []
    for index, value in enumerate(details):
        leaf = isinstance(value, dict) and {"message", "code"} <= value.keys()
        found.extend(_flatten(value, path if leaf else f"{path}/{index}"))
    return found
