"""What is done with dashboards and their widgets. Each function is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Max

from analytics.defaults import DefaultDashboard
from analytics.errors import NotThere
from analytics.models import Dashboard, Widget
from analytics.models.dashboards import MAX_HEIGHT, MAX_WIDTH
from analytics.widgets import WidgetSpec, spec_of, widget_problems
from monitoring import journal
from webhooks_project.acceptable import Problem, problems_of, refuse
from webhooks_project.accounts.models import Account, User
from webhooks_project.lib import clock
from webhooks_project.lib.errors import DomainError

MAX_DASHBOARDS: Final = 200  # of an account
MAX_WIDGETS: Final = 40  # of a dashboard: each is a query at every look
DASHBOARD_FIELDS: Final = ("name", "description", "is_shared")
WIDGET_FIELDS: Final = (
    "title", "kind", "measures", "dimensions", "granularity", "filters", "order_by", "limit",
    "compare", "width", "height",
)  # fmt: skip


class DashboardNotAcceptable(DomainError):
    """The dashboard is not acceptable."""

    code = "dashboard_not_acceptable"


class WidgetNotAcceptable(DomainError):
    """The widget is not acceptable."""

    code = "widget_not_acceptable"


class ArrangementNotAcceptable(DomainError):
    """An arrangement names every widget of the dashboard once."""

    code = "arrangement_not_acceptable"


class TooMany(DomainError):
    """There are as many of them as there may be."""

    code = "too_many"
    status = 409


@dataclass(frozen=True, slots=True)
class Place:
    """Where a widget stands: its place is that in the list; width in columns, height in rows."""

    id: UUID
    width: int
    height: int


@transaction.atomic
def create_dashboard(
    *,
    account: Account,
    owner: User | None,
    name: str,
    description: str = "",
    is_shared: bool = True,
    widgets: Sequence[WidgetSpec] = (),
) -> Dashboard:
    """Make a dashboard, with widgets where they are given.

    Without an owner it is shared: a private one would be nobody's. Raises DashboardNotAcceptable
    and TooMany.
    """
    now = clock.now()
    row = Dashboard(
        account=account, owner=owner, name=name, description=description, is_shared=is_shared,
        created_at=now, changed_at=now,
    )  # fmt: skip
    _judge(row)
    if Dashboard.objects.filter(account=account).count() >= MAX_DASHBOARDS:
        raise TooMany(f"an account has at most {MAX_DASHBOARDS} dashboards")
    row.save(force_insert=True)
    Widget.objects.bulk_create(
        [
            Widget(dashboard=row, position=position, **spec.columns())
            for position, spec in enumerate(widgets)
        ]
    )
    journal.record_change(
        account_id=account.pk,
        action="dashboard.created",
        subject=row,
        after={**_shown(row), "widgets": len(widgets)},
    )
    return row


def copy_dashboard(
    *,
    of: Dashboard | DefaultDashboard,
    account: Account,
    owner: User | None,
    name: str = "",
    is_shared: bool = True,
) -> Dashboard:
    """Make a dashboard with the widgets of another, or of a default one."""
    if isinstance(of, DefaultDashboard):
        widgets = list(of.widgets)
    else:
        widgets = [spec_of(widget) for widget in of.widgets.all()]
    return create_dashboard(
        account=account,
        owner=owner,
        name=name or f"{of.name} (copy)"[:120],
        description=of.description,
        is_shared=is_shared,
        widgets=widgets,
    )


@transaction.atomic
def change_dashboard(*, dashboard: Dashboard, by: User | None = None, **changes: Any) -> Dashboard:
    """Change the named fields of DASHBOARD_FIELDS. Only its owner makes one private, which `by`
    says; all others would lose it. Raises DashboardNotAcceptable and NotThere."""
    row = _locked(dashboard)
    before = _shown(row)
    for name, value in changes.items():
        if name not in DASHBOARD_FIELDS:
            raise TypeError(f"{name} is not changed here")
        setattr(row, name, value)
    _judge(row)
    if before["is_shared"] and not row.is_shared and (by is None or by.pk != row.owner_id):
        mine = Problem("not_its_owner", "only its owner makes it private", field="is_shared")
        refuse([mine], DashboardNotAcceptable)
    row.changed_at = clock.now()
    row.save(update_fields=[*changes, "changed_at"])
    _record(row, "dashboard.changed", before, _shown(row))
    return row


@transaction.atomic
def delete_dashboard(*, dashboard: Dashboard) -> None:
    """Delete a dashboard, with its widgets and the reports that are of it. Raises NotThere."""
    dashboard = _locked(dashboard)
    journal.record_change(
        account_id=dashboard.account_id,
        action="dashboard.deleted",
        subject=dashboard,
        before={**_shown(dashboard), "widgets": dashboard.widgets.count()},
    )
    dashboard.delete()


@transaction.atomic
def add_widget(*, dashboard: Dashboard, **fields: Any) -> Widget:
    """Add a widget behind the others. Raises WidgetNotAcceptable, TooMany and NotThere."""
    row = Widget(dashboard=_locked(dashboard), **_known(fields))
    refuse(widget_problems(row), WidgetNotAcceptable)
    others = Widget.objects.filter(dashboard=dashboard)
    if others.count() >= MAX_WIDGETS:
        raise TooMany(f"a dashboard has at most {MAX_WIDGETS} widgets")
    last = others.aggregate(last=Max("position"))["last"]
    row.position = 0 if last is None else last + 1
    row.save(force_insert=True)
    _touch(dashboard)
    _record(dashboard, "dashboard.widget_added", {}, {"widget": _widget_shown(row)})
    return row


@transaction.atomic
def change_widget(*, widget: Widget, **changes: Any) -> Widget:
    """Change the named fields of WIDGET_FIELDS. Raises WidgetNotAcceptable and NotThere."""
    row = _within_locked(widget)
    before = _widget_shown(row)
    for name, value in _known(changes).items():
        setattr(row, name, value)
    refuse(widget_problems(row), WidgetNotAcceptable)
    row.save(update_fields=list(changes))
    _touch(row.dashboard)
    _record(
        row.dashboard, "dashboard.widget_changed", {"widget": before},
        {"widget": _widget_shown(row)},
    )  # fmt: skip
    return row


@transaction.atomic
def remove_widget(*, widget: Widget) -> None:
    """Take a widget away; the others keep their order. Raises NotThere."""
    row = _within_locked(widget)
    _record(row.dashboard, "dashboard.widget_removed", {"widget": _widget_shown(row)}, {})
    row.delete()
    _touch(row.dashboard)


@transaction.atomic
def arrange(*, dashboard: Dashboard, places: Sequence[Place]) -> None:
    """Put the widgets in this order, each as wide and high as said.

    Raises ArrangementNotAcceptable where one is missing, strange or named twice: somebody else
    changed the dashboard meanwhile; and NotThere.
    """
    _locked(dashboard)
    known = {widget.pk: widget for widget in Widget.objects.filter(dashboard=dashboard)}
    if len(places) != len(known) or {place.id for place in places} != known.keys():
        raise ArrangementNotAcceptable
    before = [_place_shown(widget) for widget in known.values()]
    for position, place in enumerate(places):
        if not (1 <= place.width <= MAX_WIDTH and 1 <= place.height <= MAX_HEIGHT):
            raise ArrangementNotAcceptable(
                f"a widget is 1 to {MAX_WIDTH} columns wide and 1 to {MAX_HEIGHT} rows high"
            )
        widget = known[place.id]
        widget.position, widget.width, widget.height = position, place.width, place.height
    Widget.objects.bulk_update(known.values(), ["position", "width", "height"])
    after = [_place_shown(known[place.id]) for place in places]
    if after != before:
        _touch(dashboard)
        _record(dashboard, "dashboard.arranged", {"widgets": before}, {"widgets": after})


def places_of(dashboard: Dashboard) -> list[Place]:
    """How the widgets stand now."""
    return [Place(row.pk, row.width, row.height) for row in dashboard.widgets.all()]


def moved(places: Sequence[Place], key: UUID, move: str) -> list[Place]:
    """The places with one widget moved: earlier, later, wider, narrower, taller or shorter. One
    that can go no further stays. Pure."""
    found = list(places)
    index = next((number for number, place in enumerate(found) if place.id == key), None)
    if index is None:
        return found
    place = found[index]
    match move:
        case "earlier" if index > 0:
            found[index - 1], found[index] = place, found[index - 1]
        case "later" if index < len(found) - 1:
            found[index + 1], found[index] = place, found[index + 1]
        case "wider" | "narrower":
            width = place.width + (1 if move == "wider" else -1)
            found[index] = Place(key, min(MAX_WIDTH, max(1, width)), place.height)
        case "taller" | "shorter":
            height = place.height + (1 if move == "taller" else -1)
            found[index] = Place(key, place.width, min(MAX_HEIGHT, max(1, height)))
    return found


# --- parts ----------------------------------------------------------------------------------------


def _judge(row: Dashboard) -> None:
    checks = {
        "name": lambda: [] if row.name.strip() else [Problem("required", "needs a name")],
        "is_shared": lambda: (
            []
            if row.is_shared or row.owner_id
            else [Problem("needs_an_owner", "what belongs to no user is shared with the account")]
        ),
    }
    refuse(problems_of(row, checks, unjudged=("account", "owner")), DashboardNotAcceptable)


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    if strange := fields.keys() - set(WIDGET_FIELDS):
        raise TypeError(f"{', '.join(sorted(strange))} is not of a widget")
    return fields


def _locked(dashboard: Dashboard) -> Dashboard:
    row = Dashboard.objects.select_for_update().filter(pk=dashboard.pk).first()
    if row is None:
        raise NotThere
    return row


def _within_locked(widget: Widget) -> Widget:
    """The widget as it is now, its dashboard locked."""
    dashboard = _locked(widget.dashboard)
    row = Widget.objects.filter(pk=widget.pk).first()
    if row is None:
        raise NotThere
    row.dashboard = dashboard
    return row


def _touch(dashboard: Dashboard) -> None:
    Dashboard.objects.filter(pk=dashboard.pk).update(changed_at=clock.now())


def _record(
    dashboard: Dashboard, action: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    journal.record_change(
        account_id=dashboard.account_id,
        action=action,
        subject=dashboard,
        before={name: value for name, value in before.items() if value != after.get(name)},
        after={name: value for name, value in after.items() if value != before.get(name)},
    )


def _shown(row: Dashboard) -> dict[str, Any]:
    return {name: getattr(row, name) for name in DASHBOARD_FIELDS}


def _widget_shown(row: Widget) -> dict[str, Any]:
    return {"id": str(row.pk), **{name: getattr(row, name) for name in WIDGET_FIELDS}}


def _place_shown(row: Widget) -> list[Any]:
    return [str(row.pk), row.width, row.height]
