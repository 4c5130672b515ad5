"""What a source and its routes may be. Every problem names its field and has a code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from incoming.handlers import handler_named
from incoming.models import Route, SchemaMode, Source
from incoming.payload import is_readable
from incoming.providers import PROVIDERS
from incoming.providers.locator import check_locator
from subscriptions.matching import is_event_type
from subscriptions.schemas import check_payload
from webhooks_project.acceptable import (
    Check,
    Problem,
    condition,
    expression,
    headers,
    listed,
    needed,
    problems_of,
    size,
)
from webhooks_project.accounts.models import Role
from webhooks_project.lib.ssrf import parse_networks

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")
# What frames an answer is the server's, and what sets state in the caller is nobody's.
RESERVED_HEADERS: Final = frozenset(
    {
        "connection", "content-encoding", "content-length", "date", "keep-alive", "server",
        "set-cookie", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
BODYLESS_STATUSES: Final = (204, 205)  # RFC 9110, 15.3.5 and 15.3.6
MAX_LIST_ITEMS: Final = 50  # networks, content types, headers, recipients
MAX_HEADER_LENGTH: Final = 1024  # characters of an answer header's value
MAX_LOCATOR_LENGTH: Final = 255  # characters
MAX_DEDUP_FIELDS: Final = 8
MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_CONDITION_BYTES: Final = 64 * 1024
MAX_ROUTES: Final = 100  # of a source; each is asked of each of its receipts

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)  # RFC 9110, 5.6.2
_FIELD_VALUE = re.compile(r"[\x21-\x7e](?:[\x20\t\x21-\x7e]*[\x21-\x7e])?", re.ASCII)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


def source_problems(source: Source, options: Mapping[str, Any]) -> list[Problem]:
    """What is wrong with a source; `options` are all that its provider will see, secret ones too.

    The first problem of each field.
    """
    checks: dict[str, Check] = {
        "options": lambda: _options(source.provider, options),
        "public_url": lambda: _public_url(source.public_url),
        "allowed_networks": lambda: _networks(source.allowed_networks),
        "methods": lambda: _methods(source.methods),
        "content_types": lambda: _content_types(source.content_types),
        "answer_headers": lambda: _answer_headers(source.answer_headers),
        "answer_body": lambda: _answer_body(source),
        "schema": lambda: _schema(source),
        "dedup_fields": lambda: _dedup_fields(source.dedup_fields),
        "transformation": lambda: expression(source.transformation),
    }
    return problems_of(source, checks, unjudged={"account"})


def route_problems(route: Route) -> list[Problem]:
    """What is wrong with a route: of what its action does not need, only that it can be stored."""
    checks: dict[str, Check] = {
        "type_pattern": lambda: _type_pattern(route.type_pattern),
        "condition": lambda: _condition(route.condition),
    }
    match route.action:
        case Route.Action.PUBLISH if not route.expression:
            checks["event_type"] = lambda: _event_type(route.event_type)
        case Route.Action.PUBLISH:
            checks["expression"] = lambda: expression(route.expression)
        case Route.Action.HANDLE:
            checks["handler"] = lambda: _handler(route.handler)
        case Route.Action.UPDATE:
            checks["expression"] = lambda: needed(route.expression) or expression(route.expression)
        case Route.Action.NOTIFY:
            checks["recipients"] = lambda: _recipients(route.recipients)
            checks["message"] = lambda: needed(route.message) or _template(route.message)
    return problems_of(route, checks, unjudged={"source"})


def _template(text: str) -> Iterator[Problem]:
    """A text with {provider}, {type}, {header:…} and {json:…} in it."""
    for name in _PLACEHOLDER.findall(text):
        kind, separator, place = name.partition(":")
        if name not in ("provider", "type") and not (
            separator and place and kind in ("header", "json")
        ):
            yield Problem(
                "unknown_placeholder",
                f"{{{name[:64]}}} is none of {{provider}}, {{type}}, {{header:…}} and {{json:…}}",
            )


# --- a source's fields ----------------------------------------------------------------------------


def _options(provider: str, options: object) -> Iterator[Problem]:
    if not isinstance(options, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in options.items()
    ):
        yield Problem("not_a_mapping", "must be a mapping of names to texts")
    elif provider in PROVIDERS:
        try:
            PROVIDERS[provider].check_options(options)
        except ValueError as error:
            yield Problem("option_not_acceptable", str(error))


def _public_url(text: str) -> Iterator[Problem]:
    if not text:
        return
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        yield Problem("invalid_url", "must be an http or https URL without a fragment")


def _networks(value: object) -> Iterator[Problem]:
    def judge(text: str) -> Problem | None:
        try:
            parse_networks([text])
        except ValueError as error:
            return Problem("invalid_network", str(error))
        return None

    return listed(value, MAX_LIST_ITEMS, judge)


def _methods(value: object) -> Iterator[Problem]:
    def judge(text: str) -> Problem | None:
        if text in METHODS:
            return None
        return Problem("unknown_method", f"{text[:32]!r} is none of {', '.join(METHODS)}")

    return listed(value, len(METHODS), judge)


def _content_types(value: object) -> Iterator[Problem]:
    def judge(text: str) -> Problem | None:
        if not _MEDIA_TYPE.fullmatch(text):
            return Problem(
                "invalid_media_type",
                f"{text[:64]!r} is no media type in lower case and without parameters",
            )
        if not is_readable(text):
            return Problem(
                "unknown_media_type",
                f"{text} cannot be read here: JSON, XML, forms, multipart and plain text can",
            )
        return None

    return listed(value, MAX_LIST_ITEMS, judge)


def _answer_headers(value: object) -> Iterator[Problem]:
    return headers(
        value,
        limit=MAX_LIST_ITEMS,
        length=MAX_HEADER_LENGTH,
        is_reserved=lambda name: name.lower() in RESERVED_HEADERS,
        whose="not a source's to set",
    )


def _answer_body(source: Source) -> Iterator[Problem]:
    if source.answer_body and source.answer_status in BODYLESS_STATUSES:
        yield Problem("body_not_allowed", f"an answer {source.answer_status} has no body")


def _schema(source: Source) -> Iterator[Problem]:
    if source.schema is None:
        if source.schema_mode != SchemaMode.OFF:
            yield Problem("required", f"is needed for the mode {source.schema_mode}")
        return
    wrong = list(size(source.schema, MAX_SCHEMA_BYTES))
    yield from wrong
    if not wrong:
        try:
            check_payload(source.schema, None)
        except ValueError as error:
            yield Problem("schema_not_valid", str(error)[:500])


def _dedup_fields(value: object) -> Iterator[Problem]:
    def judge(text: str) -> Problem | None:
        if len(text) > MAX_LOCATOR_LENGTH:
            return Problem("max_length", f"has more than {MAX_LOCATOR_LENGTH} characters")
        try:
            check_locator(text)
        except ValueError as error:
            return Problem("invalid_locator", str(error))
        if re.search(r"(?:^|\{)signature:", text):
            return Problem("invalid_locator", "the signature is another each time")
        return None

    return listed(value, MAX_DEDUP_FIELDS, judge)


# --- a route's fields -----------------------------------------------------------------------------


def _type_pattern(text: str) -> Iterator[Problem]:
    if "*" in text[:-1]:
        yield Problem("invalid_pattern", "a * stands only at the end")


def _condition(value: object) -> Iterator[Problem]:
    wrong = list(size(value, MAX_CONDITION_BYTES))
    return iter(wrong) if wrong else condition(value)


def _event_type(template: str) -> Iterator[Problem]:
    """A template is right where every filling makes an event type: what is filled in is a part of
    one already."""
    yield from _template(template)
    filled = _PLACEHOLDER.sub("x", template)
    if not is_event_type(filled):
        yield Problem(
            "invalid_event_type", f"{template!r} makes no event type; such are dotted names"
        )


def _handler(name: str) -> Iterator[Problem]:
    yield from needed(name)
    if handler_named(name) is None:
        yield Problem("unknown_handler", f"the platform has no handler {name!r}")


def _recipients(value: object) -> Iterator[Problem]:
    if value == []:
        yield Problem("required", "is needed for this action")

    def judge(text: str) -> Problem | None:
        if text in Role.values:
            return None
        try:
            validate_email(text)
        except ValidationError:
            return Problem(
                "invalid_recipient",
                f"{text[:64]!r} is neither an e-mail address nor one of {', '.join(Role.values)}",
            )
        return None

    yield from listed(value, MAX_LIST_ITEMS, judge)
