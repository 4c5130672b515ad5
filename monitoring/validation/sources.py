"""What is wrong with sources: some hundreds at a time, in as many queries whatever they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from incoming.handlers import ANY_PROVIDER, HANDLERS, handler_named
from incoming.models import Route, Source, SourceSecret
from incoming.providers import PROVIDERS
from monitoring.validation.problems import (
    Kind,
    Problem,
    expression_problem,
    filter_problem,
    unreadable_fields,
)
from subscriptions.matching import patterns_for
from subscriptions.models import SubscribedType, Subscription

ENDED: Final = (Subscription.Status.ARCHIVED, Subscription.Status.EXPIRED)
SET_UP_FOR: Final = timedelta(days=1)  # somebody may be at it yet
QUIET_FOR: Final = timedelta(days=7)  # without one call, before that is worth a word
READ: Final = (
    "account", "name", "provider", "transformation", "disabled_at", "created_at",
    "last_received_at",
)  # fmt: skip


def problems_of_sources(rows: Sequence[Source], now: datetime) -> Iterator[Problem]:
    """Everything wrong with these; of disabled ones nothing is."""
    rows = [row for row in rows if row.disabled_at is None]
    if not rows:
        return
    secrets: dict[UUID, list[SourceSecret]] = {}
    for secret in SourceSecret.objects.filter(source__in=rows):
        secrets.setdefault(secret.source_id, []).append(secret)
    routes: dict[UUID, list[Route]] = {}
    for route in Route.objects.filter(source__in=rows, disabled_at=None).order_by("position"):
        routes.setdefault(route.source_id, []).append(route)
    heard = _heard(rows, routes)
    for row in rows:
        own = routes.get(row.pk, [])
        for kind, text in [
            *_of_itself(row, now),
            *_of_secrets(row, secrets.get(row.pk, []), now),
            *_of_routes(row, own, now),
            *_of_ends(row, own, heard, now),
        ]:
            yield Problem(row.account_id, kind, text[:500], source_id=row.pk)


def sources_after(after: UUID | None, size: int) -> list[Source]:
    """The next of all sources by their ids, with what is read of each."""
    rows = Source.objects.only("pk", *READ).order_by("pk")
    return list((rows if after is None else rows.filter(pk__gt=after))[:size])


def _of_itself(row: Source, now: datetime) -> Iterator[tuple[Kind, str]]:
    if row.provider not in PROVIDERS:
        yield (
            Kind.PROVIDER_UNKNOWN,
            (f"The hub knows no provider {row.provider} any more: every call is refused."),
        )
    if row.last_received_at is None and row.created_at <= now - QUIET_FOR:
        yield (
            Kind.NEVER_RECEIVED,
            (f"Nothing has called it since it was made on {row.created_at:%Y-%m-%d}."),
        )
    if row.transformation and (problem := expression_problem(row.transformation)):
        yield Kind.TRANSFORMATION_BROKEN, f"Its transformation is no expression: {problem}"


def _of_secrets(
    row: Source, secrets: Sequence[SourceSecret], now: datetime
) -> Iterator[tuple[Kind, str]]:
    valid = [secret for secret in secrets if secret.is_valid(now)]
    if any(True for secret in valid for _ in unreadable_fields(secret)):
        yield Kind.SECRET_UNREADABLE, "No encryption key opens one of its secrets."
    provider = PROVIDERS.get(row.provider)
    # One that learns its secret has none until its third party has called.
    waits = provider is not None and provider.learns_secret and not secrets
    if not waits and not any(not secret.option for secret in valid):
        yield Kind.NO_VALID_SECRET, "It has no valid secret: no call can be verified."


def _is_handled(row: Source) -> bool:
    """Whether a handler takes its receipts without any route."""
    return any(
        not handler.routed and handler.provider in (row.provider, ANY_PROVIDER)
        for handler in HANDLERS.values()
    )


def _heard(rows: Sequence[Source], routes: Mapping[UUID, Sequence[Route]]) -> dict[UUID, set[str]]:
    """By account, the patterns that its subscriptions hear, of those that could hear these routes.

    An account whose subscriptions hear none of them has an empty set, one without any is absent.
    """
    accounts = {row.account_id for row in rows}
    named = {
        pattern
        for found in routes.values()
        for route in found
        if (name := _fixed_type(route))
        for pattern in patterns_for(name)
    }
    live = Subscription.objects.filter(account__in=accounts).exclude(status__in=ENDED).order_by()
    heard: dict[UUID, set[str]] = {key: set() for key in live.values_list("account", flat=True)}
    patterns = SubscribedType.objects.filter(subscription__in=live.values("pk"), pattern__in=named)
    for key, pattern in patterns.values_list("subscription__account", "pattern").distinct():
        # One whose first subscription came between the two queries has heard something already.
        heard.setdefault(key, set()).add(pattern)
    return heard


def _fixed_type(route: Route) -> str:
    """The type that the route publishes, whatever it takes; empty where that depends on it."""
    is_fixed = route.action == Route.Action.PUBLISH and not route.expression
    return route.event_type if is_fixed and "{" not in route.event_type else ""


def _of_ends(
    row: Source, routes: Sequence[Route], heard: Mapping[UUID, set[str]], now: datetime
) -> Iterator[tuple[Kind, str]]:
    """Whether anything is at the end of its routes; a new one is given time to be finished."""
    if not routes or _is_handled(row) or row.created_at > now - QUIET_FOR:
        return
    if not any(_leads_somewhere(row, route, heard) for route in routes):
        types = sorted({name for route in routes if (name := _fixed_type(route))})
        what = f" hears {', '.join(types[:3])}" if types else " hears what it publishes"
        yield (
            Kind.ORPHANED,
            f"Its routes lead to nobody: no handler is there, no subscription{what}.",
        )


def _leads_somewhere(row: Source, route: Route, heard: Mapping[UUID, set[str]]) -> bool:
    if route.action == Route.Action.HANDLE:
        return handler_named(route.handler) is not None
    if route.action != Route.Action.PUBLISH:
        return True  # people, or the integration's state
    if row.account_id not in heard:
        return False
    name = _fixed_type(route)
    return not name or not heard[row.account_id].isdisjoint(patterns_for(name))


def _of_routes(row: Source, routes: Sequence[Route], now: datetime) -> Iterator[tuple[Kind, str]]:
    is_new = row.created_at > now - SET_UP_FOR
    if not routes and not is_new and not _is_handled(row):
        yield Kind.NO_ROUTE, "It has no route that is enabled: nothing follows from its receipts."
    lost = [
        route.handler for route in routes
        if route.action == Route.Action.HANDLE and handler_named(route.handler) is None
    ]  # fmt: skip
    if lost:
        yield Kind.HANDLER_UNKNOWN, f"Its routes name handlers that are not there: {lost[0]}"
    for number, route in enumerate(routes, 1):
        if route.condition and (problem := filter_problem(route.condition)):
            yield Kind.FILTER_BROKEN, f"The condition of route {number} cannot be used: {problem}"
            break
    for number, route in enumerate(routes, 1):
        if route.expression and (problem := expression_problem(route.expression)):
            text = f"The expression of route {number} is none: {problem}"
            if not row.transformation or not expression_problem(row.transformation):
                yield Kind.TRANSFORMATION_BROKEN, text
            break
