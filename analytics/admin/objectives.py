"""Objectives, and where each stands."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html

from analytics import objectives
from analytics.lists import WHOLE_ACCOUNT
from analytics.measures import written
from analytics.models import Objective
from analytics.objectives import ObjectiveStatus
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.filters import RelatedFilter
from webhooks_project.admin.forms import ServiceForm
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link_to,
    short,
    value_column,
    visible,
)
from webhooks_project.lib import clock

CHANGEABLE: Final = ("counts", "target_percent", "window_days")
# What there were so many of.
COUNTED: Final[dict[str, str]] = {
    Objective.Counts.ATTEMPTS: "Attempts",
    Objective.Counts.FIRST_ATTEMPTS: "First attempts",
    Objective.Counts.DELIVERIES: "Deliveries that ended",
}
SHOWN_NAME: Final = 20  # characters: all columns have room on a screen of 1280 pixels
STATE_COLOURS: Final = {"met": "success", "missed": "danger"}


class ObjectiveForm(ServiceForm):
    error_fields: ClassVar = {
        "objective_exists": "subscription",
        "subscription_of_another": "subscription",
    }

    class Meta:
        model = Objective
        fields = ("account", "subscription", *CHANGEABLE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        target = self.initial.get("target_percent")
        if isinstance(target, Decimal):  # without the zeros that the column adds
            self.initial["target_percent"] = Decimal(plain(target))

    def validate_unique(self) -> None:
        """The service says it."""

    def _get_validation_exclusions(self) -> set[str]:
        # Nor are constraints of these judged, whose names would be told: the service says it.
        kept: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]  # no stub
        return {*kept, "account", "subscription"}


def standing(objective: Objective) -> Panel:
    """What is attained, and what is left."""
    status = objectives.status_of(objective, clock.now())
    rows = [
        ["State", _state(status)],
        ["Attained", _percent(status.attained)],
        ["Target", _percent(status.target)],
        [COUNTED[objective.counts], f"{status.total:,}"],
        ["Failed", f"{status.failed:,} of {status.budget:,.1f} that it leaves room for"],
        ["Error budget left", written(status.budget_left_rate, "rate")],
    ]
    rows += [
        [f"Burn rate, {_words(burn.window.total_seconds())}", f"{burn.rate:.2f}"]
        for burn in status.burn
        if burn.rate is not None
    ]
    return Table(f"The last {objective.window_days} days", ["Figure", "Value"], rows)


def _state(status: ObjectiveStatus | None) -> str:
    """Of nothing that was attempted neither is true."""
    if status is None or status.attained is None:
        return EMPTY
    return label("met" if status.is_met else "missed", STATE_COLOURS)


def _narrow(name: str) -> str:
    """The beginning of a name, with all of it at the pointer."""
    return format_html('<span title="{}">{}</span>', visible(name), short(name, SHOWN_NAME))


def _percent(rate: float | None) -> str:
    return EMPTY if rate is None else f"{rate * 100:.3f}".rstrip("0").rstrip(".") + " %"


def plain(percent: Decimal) -> str:
    """`99.9`, without zeros at its end."""
    return f"{percent.normalize():f}"


def _words(seconds: float) -> str:
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"last {count} {unit}s" if count > 1 else f"last {unit}"
    return "last moments"


@admin.register(Objective)
class ObjectiveAdmin(HubAdmin):
    form = ObjectiveForm
    empty_text = (
        "An objective says what share of an account's or a subscription's deliveries shall "
        "succeed. Its page shows what was attained, what is left of the budget of failures and how "
        "fast it burns."
    )
    autocomplete_fields = ("account", "subscription")
    panels: ClassVar = [standing]
    counted = value_column("Counts", "counts")
    list_display = (
        "__str__", "of", "state", "attained", "budget_left", "counted", "account_name",
    )  # fmt: skip
    list_filter = (("account", RelatedFilter), ("subscription", RelatedFilter))
    list_select_related = ("account", "subscription")
    search_fields = ("subscription__name", "account__name")
    ordering = ("-created_at",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ("account", "subscription", *CHANGEABLE)
        if self.has_change_permission(request, obj):
            return ("account", "of_link", *CHANGEABLE)
        return ("account", "of_link", "counted", "target", "days")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return tuple({*self.get_fields(request, obj)} - {*CHANGEABLE}) if obj is not None else ()

    def prepare_rows(self, rows: list[Any]) -> None:
        """Where each stands: a question for each length of time among them."""
        statuses = objectives.statuses_of(rows, clock.now(), windows=())
        for objective, status in zip(rows, statuses, strict=True):
            objective.status = status

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes(CHANGEABLE)
        if change and changes:
            objectives.change_objective(objective=Objective.objects.get(pk=obj.pk), **changes)
        elif not change:
            obj.__dict__.update(objectives.create_objective(**form.cleaned_data).__dict__)

    def delete_model(self, request: HttpRequest, obj: Objective) -> None:
        objectives.delete_objective(objective=obj)

    @column("Of")
    def of(self, objective: Objective) -> str:
        return _narrow(str(objective.subscription or WHOLE_ACCOUNT))

    @column("Account", ordering="account")
    def account_name(self, objective: Objective) -> str:
        return _narrow(str(objective.account))

    @column("Of")
    def of_link(self, objective: Objective) -> str:
        return link_to(objective.subscription) if objective.subscription else WHOLE_ACCOUNT

    @column("State")
    def state(self, objective: Any) -> str:
        return _state(objective.status)

    @column("Attained")
    def attained(self, objective: Any) -> str:
        return _percent(objective.status.attained)

    @column("Budget left")
    def budget_left(self, objective: Any) -> str:
        status = objective.status
        return EMPTY if status.attained is None else written(status.budget_left_rate, "rate")

    @column("Target percent")
    def target(self, objective: Objective) -> str:
        return plain(objective.target_percent)

    @column("Window days")
    def days(self, objective: Objective) -> str:
        return str(objective.window_days)
