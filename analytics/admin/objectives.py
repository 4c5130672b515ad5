"""Objectives, and where each stands."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.http import HttpRequest

from analytics import objectives
from analytics.models import Objective
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.filters import RelatedFilter
from webhooks_project.admin.forms import ServiceForm
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import column, moment_column, value_column
from webhooks_project.lib import clock

CHANGEABLE: Final = ("counts", "target_percent", "window_days")


class ObjectiveForm(ServiceForm):
    error_fields: ClassVar = {
        "objective_exists": "subscription",
        "subscription_of_another": "subscription",
    }

    class Meta:
        model = Objective
        fields = ("account", "subscription", *CHANGEABLE)

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
        ["Attained", _percent(status.attained)],
        ["Target", _percent(status.target)],
        ["Attempts", f"{status.total:,}"],
        ["Failed", f"{status.failed:,} of {status.budget:,.1f} that it leaves room for"],
        ["Error budget left", _percent(status.budget_left_rate)],
    ]
    rows += [
        [f"Burn rate, {_words(burn.window.total_seconds())}", f"{burn.rate:.2f}"]
        for burn in status.burn
        if burn.rate is not None
    ]
    return Table(f"The last {objective.window_days} days", ["Figure", "Value"], rows)


def _percent(rate: float | None) -> str:
    return "–" if rate is None else f"{rate * 100:.3f}".rstrip("0").rstrip(".") + " %"


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
    created = moment_column("Created", "created_at")
    counted = value_column("Counts", "counts")
    list_display = ("__str__", "account", "of", "counted", "created")
    list_filter = (("account", RelatedFilter), ("subscription", RelatedFilter))
    list_select_related = ("account", "subscription")
    search_fields = ("subscription__name", "account__name")
    ordering = ("-created_at",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("account", "subscription") if obj is not None else ()

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
        return str(objective.subscription or "all of the account")
