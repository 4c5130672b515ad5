"""Handlers: code of the platform that runs for what third parties tell.

They stand in the `webhook_handlers.py` of any installed app; docs/handlers.md says how to write
one. Running them is `incoming/runs.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

ANY_PROVIDER: Final = "*"
TIME_LIMIT_SECONDS: Final = 30.0
# A node that stops waits this long for what is under way, as it does for a delivery.
MAX_TIME_LIMIT_SECONDS: Final = 60.0
# After a failure, seconds to the next try; after the last the run is dead until a person takes it
# up.
RETRY_SECONDS: Final = (10, 60, 300, 1_800, 7_200, 21_600)
MAX_RETRIES: Final = 50
MAX_RETRY_SECONDS: Final = 30 * 86_400
MAX_NAME_LENGTH: Final = 255


class GiveUp(Exception):
    """Raised by a handler that no later try will help: its run is dead at once."""


class HandlerNotAcceptable(Exception):
    """A handler is declared wrongly. Raised when its module is imported."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """What a handler is told.

    `data` is the payload after its source's transformation, parsed: JSON as it is, a form or XML
    as a mapping. `body` is what came, byte for byte, and `headers` have lower-case names.
    `is_verified`, `signed_at` and `received_at` are the verdict of the moment it arrived.

    `idempotency_key` is the same on every try and every replay of this receipt for this handler,
    and no other pair has it: a try may have been cut off after its effects outside the database
    and before its end was written down, so what a handler asks of others it asks under this key.
    `attempt` counts the tries from 1 and begins anew when a person runs it again; `round` is 0, and
    one more with each replay.
    """

    receipt_id: UUID
    account_id: UUID
    source_id: UUID
    source_name: str
    provider: str
    type: str
    external_id: str
    data: Any = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    received_at: datetime
    signed_at: datetime | None
    is_verified: bool
    idempotency_key: str
    attempt: int
    round: int

    @property
    def is_replay(self) -> bool:
        """Whether this is a replay of what was received before."""
        return self.round > 0


Function = TypeVar("Function", bound=Callable[[Webhook], object])


@dataclass(frozen=True, slots=True)
class Handler:
    """A function and when it runs. `time_limit` and `retry_seconds` are in seconds."""

    name: str
    provider: str
    patterns: tuple[str, ...]
    function: Callable[[Webhook], object]
    time_limit: float
    retry_seconds: tuple[float, ...]
    routed: bool

    def takes(self, provider: str, type_: str) -> bool:
        """Whether it runs for receipts of this provider and type, asked for or not."""
        return (
            not self.routed
            and self.provider in (provider, ANY_PROVIDER)
            and any(takes_type(pattern, type_) for pattern in self.patterns)
        )


HANDLERS: Final[dict[str, Handler]] = {}


def handles(
    provider: str,
    *patterns: str,
    name: str = "",
    time_limit: float = TIME_LIMIT_SECONDS,
    retry_seconds: tuple[float, ...] = RETRY_SECONDS,
    routed: bool = False,
) -> Callable[[Function], Function]:
    """Let the function run for every receipt of the provider whose type fits one of the patterns.

    A pattern is a type, a beginning of one with `*` after it, or `*`, which is also meant where
    none is given; the provider `*` is every one. The name, by default `module.function`, is kept
    with each run and in routes. A run has `time_limit` seconds and, after a failure, waits each of
    `retry_seconds` in turn. A `routed` handler runs only where a route names it, whatever the
    provider and type.

    Raises HandlerNotAcceptable, also for a name that is taken.
    """

    def register(function: Function) -> Function:
        handler = Handler(
            name=name or f"{function.__module__}.{function.__qualname__}",
            provider=provider,
            patterns=patterns or ("*",),
            function=function,
            time_limit=time_limit,
            retry_seconds=tuple(retry_seconds),
            routed=routed,
        )
        problem = _problem(handler)
        if problem:
            raise HandlerNotAcceptable(f"{handler.name[:MAX_NAME_LENGTH]}: {problem}")
        HANDLERS[handler.name] = handler
        return function

    return register


def handler_named(name: str) -> Handler | None:
    """The handler of this name; None where the code has none."""
    return HANDLERS.get(name)


def handlers_for(provider: str, type_: str) -> list[Handler]:
    """The handlers that run for receipts of this provider and type without a route."""
    return [handler for handler in HANDLERS.values() if handler.takes(provider, type_)]


def takes_type(pattern: str, type_: str) -> bool:
    """Whether a pattern means the type: it is the type, or ends in `*` after a beginning of it."""
    if pattern.endswith("*"):
        return type_.startswith(pattern[:-1])
    return type_ == pattern


def _problem(handler: Handler) -> str:
    """What is wrong with a handler; empty where nothing is."""
    if len(handler.name) > MAX_NAME_LENGTH:
        return f"its name has more than {MAX_NAME_LENGTH} characters"
    known = HANDLERS.get(handler.name)
    if known is not None:
        where = f"{known.function.__module__}.{known.function.__qualname__}"
        return f"{where} has this name already; give one of them another with name="
    if not handler.provider or not all(handler.patterns):
        return "its provider or one of its patterns is empty"
    if not 0 < handler.time_limit <= MAX_TIME_LIMIT_SECONDS:
        return f"its time limit is not between 0 and {MAX_TIME_LIMIT_SECONDS:g} seconds"
    if len(handler.retry_seconds) > MAX_RETRIES:
        return f"it has more than {MAX_RETRIES} retries"
    if not all(0 <= seconds <= MAX_RETRY_SECONDS for seconds in handler.retry_seconds):
        return f"one of its retries waits not between 0 and {MAX_RETRY_SECONDS} seconds"
    return _problem_of_function(handler.function)


def _problem_of_function(function: Callable[..., object]) -> str:
    kinds = (
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    )
    if any(is_kind(function) for is_kind in kinds):
        return "it is a coroutine or a generator, and calling it would run nothing of it"
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return "it does not take one argument, the webhook"
    return ""
