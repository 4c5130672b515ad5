"""What is done with the routes of a source. Each function is one transaction and is audited."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max

from incoming.acceptable import MAX_ROUTES, route_problems
from incoming.errors import SourceNotAcceptable
from incoming.models import Route, Source
from incoming.services.changes import check, check_names, lock_source
from monitoring import journal
from webhooks_project.acceptable import Problem, refusal
from webhooks_project.lib import clock

ROUTE_FIELDS: Final = (
    "type_pattern",
    "condition",
    "action",
    "event_type",
    "expression",
    "handler",
    "recipients",
    "message",
    "is_last",
)


@transaction.atomic
def add_route(*, source: Source, **fields: Any) -> Route:
    """Let something follow receipts of the source: after its other routes, where no position is
    given. Raises SourceNotAcceptable."""
    lock_source(source)
    routes = source.routes.aggregate(last=Max("position"), count=Count("pk"))
    if routes["count"] >= MAX_ROUTES:
        raise too_many_routes()
    position = 0 if routes["last"] is None else routes["last"] + 1
    route = make_route(source, {"position": position, **fields})
    journal.record_change(
        account_id=source.account_id,
        action="source.route_added",
        subject=source,
        after=_shown_route(route),
    )
    return route


@transaction.atomic
def change_route(*, route: Route, **changes: Any) -> Route:
    """Change the named fields (those of ROUTE_FIELDS, `position`, `disabled_at`), for receipts
    processed from now on. Raises SourceNotAcceptable."""
    check_names(changes, (*ROUTE_FIELDS, "position", "disabled_at"))
    route.refresh_from_db(from_queryset=Route.objects.select_for_update(no_key=True))
    before = _shown_route(route)
    for name, value in changes.items():
        setattr(route, name, value)
    check(route_problems(route), "the route is not acceptable")
    route.save(update_fields=list(changes))
    journal.record_change(
        account_id=route.source.account_id,
        action="source.route_changed",
        subject=route.source,
        before=before,
        after=_shown_route(route),
    )
    return route


def set_route_enabled(*, route: Route, enabled: bool) -> Route:
    """Follow the route, or pass it over."""
    return change_route(route=route, disabled_at=None if enabled else clock.now())


@transaction.atomic
def delete_route(*, route: Route) -> None:
    """Let nothing follow by it any more; what has followed stays."""
    route.refresh_from_db(from_queryset=Route.objects.select_for_update())
    journal.record_change(
        account_id=route.source.account_id,
        action="source.route_deleted",
        subject=route.source,
        before=_shown_route(route),
    )
    route.delete()


@transaction.atomic
def reorder_routes(*, source: Source, routes: Sequence[UUID]) -> list[Route]:
    """Follow the source's routes in this order. `routes` are the keys of all of them.

    Raises SourceNotAcceptable where one is missing, unknown or there twice.
    """
    lock_source(source)
    known = {route.pk: route for route in source.routes.all()}
    if len(routes) != len(known) or set(routes) != set(known):
        problem = Problem("not_all_routes", "must name each of the routes once", field="routes")
        check([problem], "the order is not acceptable")
    before = list(known)
    ordered = [known[key] for key in routes]
    for position, route in enumerate(ordered):
        route.position = position
    Route.objects.bulk_update(ordered, ["position"])
    journal.record_change(
        account_id=source.account_id,
        action="source.routes_reordered",
        subject=source,
        before={"routes": before},
        after={"routes": list(routes)},
    )
    return ordered


def make_route(source: Source, fields: Mapping[str, Any]) -> Route:
    check_names(fields, (*ROUTE_FIELDS, "position", "disabled_at"))
    route = Route(source=source, **fields)
    check(route_problems(route), "the route is not acceptable")
    route.save(force_insert=True)
    return route


def too_many_routes() -> SourceNotAcceptable:
    problem = Problem("too_many", f"a source has at most {MAX_ROUTES} routes", field="routes")
    return refusal([problem], SourceNotAcceptable, "the source has too many routes")


def _shown_route(route: Route) -> dict[str, Any]:
    return {
        "route": route.pk,
        "position": route.position,
        **{name: getattr(route, name) for name in ROUTE_FIELDS},
        "disabled_at": route.disabled_at,
    }
