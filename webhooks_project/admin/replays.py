"""What the pages of replays share, whatever is replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.forms import ServiceForm
from webhooks_project.admin.values import column, label, moment_column, page_of
from webhooks_project.lib import clock
from webhooks_project.lib.errors import DomainError

STATUS_COLOURS: Final = {
    "planned": "info",
    "running": "primary",
    "finished": "success",
    "failed": "danger",
}
STARTABLE: Final = ("planned", "failed")


class PlanForm(ServiceForm):
    """What is asked for; `part` names the field that may stand for the account."""

    part: ClassVar[str]

    def clean(self) -> dict[str, Any] | None:
        """What a person does is in the audit chain, and each account has its own."""
        cleaned = super().clean()
        given = self.cleaned_data
        if {"account", self.part} <= set(given) and not (given["account"] or given[self.part]):
            self.add_error("account", f"Choose an account or a {self.part}.")
        return cleaned

    def _messages(self, error: DomainError) -> list[tuple[str, Any]]:
        return [(str(error.extra.get("field", "")), str(error))]


class JobAdmin(HistoryAdmin):
    """A replay's plan, its progress and its end; a new one is planned, by `plan_form`.

    `done_count` names the column that counts, `planned_word` what. The admin says how what the form
    gives is planned.
    """

    done_count: ClassVar[str]
    plan_form: ClassVar[type[PlanForm]]
    planning: ClassVar[str]
    planned_word: ClassVar[str]

    def plan(self, asked: dict[str, Any]) -> Any:
        """The job that the form's values ask for."""
        raise NotImplementedError

    has_history = True
    created = moment_column("Created", "created_at")
    finished = moment_column("Ended", "finished_at")
    search_fields = ("pk",)
    date_hierarchy = "created_at"
    ordering = ("-created_at",)

    @column("Status")
    def status_label(self, replay: Any) -> str:
        return label(replay.status, STATUS_COLOURS)

    @column("Progress")
    def progress(self, replay: Any) -> str:
        return f"{getattr(replay, self.done_count)} of {replay.planned_count}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "add")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        if obj is None:
            kwargs["form"] = self.plan_form
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return super().get_fieldsets(request, obj)
        described = {"fields": self.plan_form.Meta.fields, "description": self.planning}  # type: ignore[attr-defined]
        return [("Plan a replay", described)]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        now = clock.now()
        day_before = {"since": now - timedelta(days=1), "until": now}
        return day_before | super().get_changeform_initial_data(request)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if kwargs.get("obj") is None:
            context |= {
                "title": "Plan a replay",
                "show_save_and_add_another": False,
                "show_save_and_continue": False,
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.__dict__.update(self.plan(form.cleaned_data).__dict__)

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        messages.success(request, f"{self.planned_word} planned: {obj.planned_count:,}. Nothing is "
                         "done before it is started.")  # fmt: skip
        return HttpResponseRedirect(page_of(obj._meta.label_lower, obj.pk))
