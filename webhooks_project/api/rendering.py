"""JSON by orjson: strict, quick, and no surprise for deep nesting or NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, Final

import orjson
from django.conf import settings
from django.db.models import Model
from rest_framework.exceptions import APIException, ErrorDetail, ParseError, ValidationError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer

from webhooks_project.lib import exact_json

MAX_LEVELS: Final = 200  # of a body: what looks at a value goes down it, and Python's stack ends


class OrjsonRenderer(BaseRenderer):
    media_type = "application/json"
    format = "json"
    charset = None

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        # A moment that no serialiser has written is written as theirs are.
        text = b"" if data is None else orjson.dumps(data, default=_plain, option=orjson.OPT_UTC_Z)
        _untie(renderer_context)
        return text


class Negotiation(DefaultContentNegotiation):
    """The caller's choice of a form, by `Accept` or `?format=`; one that there is not is a 400."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        # Most calls want what there is, which the search finds out in ten times as long.
        wanted = request.META.get("HTTP_ACCEPT", "*/*")
        is_asked = format_suffix or request.META.get("QUERY_STRING")
        if not is_asked and wanted in ("*/*", renderers[0].media_type):
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        found = [renderer for renderer in renderers if renderer.format == format]
        if not found:
            names = ", ".join(dict.fromkeys(renderer.format for renderer in renderers))
            raise ValidationError({"format": [ErrorDetail(f"there is {names}", "invalid_choice")]})
        return found


class OwnFormat(DefaultContentNegotiation):
    """Of a view for which `?format=` is an option of its own."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class BodyTooLarge(APIException):
    status_code = 413
    default_detail = "the body is too large"
    default_code = "payload_too_large"


class OrjsonParser(BaseParser):
    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = _body(stream)
        return _within_levels(_parsed(body), body)


class ExactDataParser(OrjsonParser):
    """Leaves the `data` of an event as it was written, as bytes: the object's own, and that of
    each in a list `events`."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = _body(stream)
        parsed = _parsed(body)
        if not isinstance(parsed, dict):
            return _within_levels(parsed, body)
        if "data" in parsed:
            parsed["data"] = exact_json.members(body)["data"]
        if isinstance(parsed.get("events"), list):
            written = exact_json.items(exact_json.members(body)["events"])
            for event, text in zip(parsed["events"], written, strict=True):
                if isinstance(event, dict) and "data" in event:
                    event["data"] = exact_json.members(text)["data"]
        return _within_levels(parsed, body)


def _untie(context: Any) -> None:
    """Cut the rings of view, request and answer, which nobody asks for any more once it is written.

    Else they, and the body with them, stay in memory until the next collection of garbage.
    """
    request, view = (context or {}).get("request"), (context or {}).get("view")
    if request and view:
        request.parser_context.clear()
        vars(view).clear()
        context.clear()


def _body(stream: IO[Any]) -> bytes:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge
    return body


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ParseError(f"the body is not JSON: {error}") from error


def _within_levels(parsed: Any, body: bytes) -> Any:
    """The value, where it is nested in MAX_LEVELS or fewer. Raises ParseError."""
    if body.count(b"[") + body.count(b"{") <= MAX_LEVELS:
        return parsed
    level = [parsed]
    for _ in range(MAX_LEVELS):
        parts = (item.values() if isinstance(item, dict) else item for item in level)
        level = [part for some in parts for part in some if isinstance(part, dict | list)]
        if not level:
            return parsed
    raise ParseError(f"the body is nested in more than {MAX_LEVELS} levels")


def _plain(value: Any) -> Any:
    if isinstance(value, Model):
        return str(value.pk)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("utf-8", "replace")
    return str(value)
