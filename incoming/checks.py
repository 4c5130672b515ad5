"""Wrong combinations in the code of this installation, found before they hurt."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, register

from incoming.handlers import ANY_PROVIDER, HANDLERS
from incoming.providers import PROVIDERS


@register
def check_handlers(**_: Any) -> list[CheckMessage]:
    """`incoming.E001`: a handler of a provider that the hub does not know."""
    return [
        Error(
            f"The handler {handler.name} is of an unknown provider, {handler.provider!r}.",
            hint="It would never run. Name a provider as the sources do, or * for every one.",
            id="incoming.E001",
        )
        for handler in HANDLERS.values()
        if handler.provider != ANY_PROVIDER and handler.provider not in PROVIDERS
    ]
