"""Which routes take a subject, and what each of them does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from incoming.errors import EvaluationTooLong, ResultNotAcceptable
from incoming.handlers import Handler, handlers_for, takes_type
from incoming.models import Route
from incoming.routing.actions import Action, Handle, Notify, Publish, Update
from incoming.routing.answers import NOTHING_FOLLOWS, Following, Located
from incoming.routing.stages import ASKING_SECONDS, Stage
from incoming.routing.subjects import Subject
from incoming.routing.texts import (
    bounded_type,
    event_type_of,
    message_of,
    plain_event_type,
    readable,
    type_part,
)
from webhooks_project.lib.filters import Filter, compile_filter
from webhooks_project.lib.jsonata import NOTHING

MAX_KEPT_FILTERS: Final = 10_000


def follow(subject: Subject) -> Stage:
    """The stage at which the routes that take the subject say what follows."""
    routes = list(_taking(subject))

    def end(answers: Sequence[Any]) -> None:
        given = iter(answers)
        actions: list[Action] = []
        for route in routes:
            answer = next(given) if _expression_of(route) else None
            try:
                action = _action(subject, route, answer)
            except Exception as error:
                raise Located(f"the route at {route.position}", error) from error
            if action is not None:
                actions.append(action)
        subject.answer = Following(
            _with_handlers(subject, actions),
            subject.data,
            routes,
            "" if routes else NOTHING_FOLLOWS,
        )

    return Stage(subject, [text for route in routes if (text := _expression_of(route))], end)


def _taking(subject: Subject) -> Iterable[Route]:
    """The routes that take the subject. Raises EvaluationTooLong."""
    until = time.monotonic() + ASKING_SECONDS
    for number, route in enumerate(subject.routes):
        if number and time.monotonic() > until:
            raise EvaluationTooLong
        if takes_type(route.type_pattern, subject.receipt.type) and (
            not route.condition or _filter_of(route).matches(subject.document)
        ):
            yield route
            if route.is_last:
                return


def _expression_of(route: Route) -> str:
    """The expression that the route's action needs; empty where it needs none."""
    with_expression = (Route.Action.PUBLISH, Route.Action.UPDATE)
    return route.expression if route.action in with_expression else ""


def _action(subject: Subject, route: Route, answer: Any) -> Action | None:
    """What the route does; None where its expression gives nothing to do."""
    if isinstance(answer, Exception):
        raise answer
    if answer is NOTHING:
        return None
    match route.action:
        case Route.Action.PUBLISH:
            return Publish(route, _event_type(subject, route, answer))
        case Route.Action.HANDLE:
            return Handle(route.handler, route)
        case Route.Action.UPDATE:
            if not isinstance(answer, dict):
                raise ResultNotAcceptable("the expression of an update gives an object")
            return Update(route, answer)
        case Route.Action.NOTIFY:
            source = subject.source
            return Notify(
                route,
                title=f"{source.name}: {readable(subject.receipt.type) or source.provider}",
                text=message_of(route.message, subject.place),
            )
    raise ResultNotAcceptable(f"{route.action!r} is no action")


def _event_type(subject: Subject, route: Route, answer: Any) -> str:
    if not _expression_of(route):
        template = route.event_type
        if ":" not in template:
            return plain_event_type(template, subject.source.provider, subject.receipt.type)
        return event_type_of(template, subject.place)
    if not isinstance(answer, str):
        raise ResultNotAcceptable("the expression of an event's type gives a text")
    return bounded_type(type_part(answer))


def _with_handlers(subject: Subject, actions: Sequence[Action]) -> list[Action]:
    """The actions, each handler once, and the handlers that run without a route."""
    names: set[str] = set()
    found: list[Action] = []
    asked = [Handle(item.name) for item in _handlers_for(subject)]
    for action in (*actions, *asked):
        if isinstance(action, Handle):
            if action.handler in names:
                continue
            names.add(action.handler)
        found.append(action)
    return found


def _handlers_for(subject: Subject) -> Sequence[Handler]:
    return handlers_for(subject.source.provider, subject.receipt.type)


# A route's condition, compiled, and what it was compiled from: a changed row is compiled anew.
_filters: dict[UUID, tuple[Any, Filter]] = {}


def _filter_of(route: Route) -> Filter:
    known = _filters.get(route.pk)
    if known is not None and known[0] == route.condition:
        return known[1]
    if len(_filters) >= MAX_KEPT_FILTERS:
        _filters.clear()
    compiled = compile_filter(route.condition)
    _filters[route.pk] = (route.condition, compiled)
    return compiled
