"""Texts that routes fill in: event types, and the messages of notifications."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from subscriptions.matching import MAX_TYPE_LENGTH

MAX_MESSAGE_LENGTH: Final = 2_000  # characters of a notification, filled in
_PLACEHOLDER = re.compile(r"\{(provider|type|header:[^{}]+|json:[^{}]+)\}")
_NOT_OF_A_TYPE = re.compile(r"[^A-Za-z0-9_.-]")
_DOTS = re.compile(r"\.{2,}")
_CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def event_type_of(template: str, place: Callable[[str], str | None]) -> str:
    """A route's event type, filled in: `shopify` and `orders/create` give `shopify.orders.create`.

    `place` gives what a placeholder stands for: `provider`, `type`, `header:X-Name` or
    `json:path.to`. What an event type cannot hold becomes `_`; what is not there, `unknown`.
    """
    return bounded_type(_PLACEHOLDER.sub(lambda found: type_part(place(found[1]) or ""), template))


@lru_cache(maxsize=4096)
def plain_event_type(template: str, provider: str, type_: str) -> str:
    """The same for a template that needs nothing of the payload, as most do."""
    return event_type_of(template, {"provider": provider, "type": type_}.get)


def bounded_type(text: str) -> str:
    """A type of no more than an event's name may have."""
    return text[:MAX_TYPE_LENGTH].rstrip(".")


def type_part(text: str) -> str:
    """The text, as a part of an event type can hold it."""
    plain = _NOT_OF_A_TYPE.sub("_", text.replace("/", ".").replace(":", "."))
    return _DOTS.sub(".", plain).strip(".") or "unknown"


def message_of(template: str, place: Callable[[str], str | None]) -> str:
    """A notification's text, filled in as `event_type_of` does, but with the values as they are.

    Characters that a reader does not see go, save line ends; what is not there is empty.
    """
    filled = _PLACEHOLDER.sub(lambda found: place(found[1]) or "", template)
    return readable(filled)[:MAX_MESSAGE_LENGTH]


def readable(text: str) -> str:
    """The text without characters that a reader does not see, save line ends."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n"))
