"""Reports: what is sent to whom and when, and each time that one was made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Prefetch, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html_join

from analytics.defaults import SUBJECTS
from analytics.models import Dashboard, Report, ReportFile, ReportRun
from analytics.models.reports import Format
from analytics.reports import services
from analytics.reports.downloads import download
from webhooks_project.accounts.models import Role, User
from webhooks_project.admin.access import visible_rows
from webhooks_project.admin.base import HistoryAdmin, HubAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import (
    Checkbox,
    Checkboxes,
    LinesField,
    Select,
    ServiceForm,
    Textarea,
)
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import (
    column,
    label,
    link,
    link_to,
    list_of,
    moment,
    moment_column,
    page_of,
    value_column,
)
from webhooks_project.lib.time_zones import time_zones

RUN_COLOURS = {"finished": "success", "failed": "danger", "running": "primary", "pending": "info"}
SHOWN_RUNS = 12
MAX_CHOICES = 300  # dashboards that a form offers


class ReportForm(ServiceForm):
    of = forms.ChoiceField(widget=Select, label="Of")
    formats = forms.MultipleChoiceField(
        choices=Format.choices, widget=Checkboxes, initial=[Format.HTML, Format.PDF]
    )
    recipients = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 3}),
        help_text=f"One a line: addresses, and roles ({', '.join(Role.values)}), whose members and "
        "those above are meant.",
    )
    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name) for name in sorted(time_zones())],
        initial="UTC",
        widget=Select,
    )

    class Meta:
        model = Report
        fields = (
            "account", "name", "of", "period", "formats", "recipients", "time_zone", "hour",
            "enabled",
        )  # fmt: skip

    boards: ClassVar[QuerySet[Dashboard]] = Dashboard.objects.none()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "of" not in self.fields:  # who only looks
            return
        own = self.boards.select_related("account").order_by("account__name", "name")
        rows = list(own[:MAX_CHOICES])
        if not self.instance._state.adding:
            self.initial["of"] = str(self.instance.dashboard_id or self.instance.subject)
        # What it is of, or is to be, is among them however many there are.
        asked = [_id(self.initial.get("of")), _id(self.data.get(self.add_prefix("of")))]
        known = {row.pk for row in rows}
        rows += own.filter(pk__in=[key for key in asked if key is not None and key not in known])
        field: Any = self.fields["of"]
        field.choices = [
            ("What the hub knows", [(key, item.name) for key, item in SUBJECTS.items()]),
            ("Dashboards", [(str(row.pk), f"{row.name} ({row.account})") for row in rows]),
        ]
        if self.initial.get("of") and not field.valid_value(self.initial["of"]):
            kept = "As it is"
            if not self.instance._state.adding:
                field.choices = [*field.choices, (self.initial["of"], kept)]

    def _messages(self, error: Any) -> list[tuple[str, Any]]:
        named = {"dashboard": "of", "subject": "of"}
        return [(named.get(name, name), texts) for name, texts in super()._messages(error)]

    def clean(self) -> dict[str, Any] | None:
        """`of` is a dashboard's id or a subject's name."""
        cleaned = super().clean()
        of = self.cleaned_data.get("of", "")
        subject = of if of in SUBJECTS else ""
        self.cleaned_data["subject"] = subject
        key = _id(of)
        self.cleaned_data["dashboard"] = (
            self.boards.filter(pk=key).first() if key is not None else None
        )
        return cleaned

    def given(self, change: bool) -> dict[str, Any]:
        """What the services take."""
        names = [name for name in services.FIELDS if name not in ("dashboard", "subject")]
        found = {
            name: self.cleaned_data[name]
            for name in names
            if not change or name in self.changed_data
        }
        if not change or "of" in self.changed_data:
            found |= {name: self.cleaned_data[name] for name in ("dashboard", "subject")}
        return found


class RunForm(forms.Form):
    is_sent = forms.BooleanField(
        required=False, widget=Checkbox, label="Send it to the recipients, too"
    )


def _id(text: Any) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None


def runs_of_report(report: Report) -> Panel:
    newest = report.runs.prefetch_related(_files())[:SHOWN_RUNS]
    rows = [
        [
            link(page_of("analytics.reportrun", run.pk), _of(run, report)),
            label(run.status, RUN_COLOURS),
            run.trigger,
            moment(run.created_at),
            _made(run),
        ]
        for run in newest
    ]
    more = link(list_of("analytics.reportrun", report__id__exact=report.pk), "All") if rows else ""
    return Table(
        "Made so far", ["Period", "State", "Asked by", "When", "Files"], rows,
        empty="Not once. Make it now, or wait for its hour.", more=more,
    )  # fmt: skip


def _of(run: ReportRun, report: Report) -> str:
    from analytics.spans import Period

    return str(Period(run.since, run.until, report.time_zone))


def _files() -> Prefetch[Any]:
    return Prefetch("files", ReportFile.objects.defer("content"))


def _downloads(run: ReportRun) -> Any:
    return format_html_join(
        ", ",
        '<a class="text-link" href="{}" download>{}</a>',
        (
            (
                reverse("admin:analytics_reportrun_file", args=[run.pk, file.format]),
                file.get_format_display(),
            )
            for file in run.files.all()
        ),
    )


def _made(run: ReportRun) -> Any:
    """The files, and what went wrong."""
    return (
        format_html_join("; ", "{}", ((part,) for part in (_downloads(run), run.error) if part))
        or "-"
    )


@admin.register(Report)
class ReportAdmin(HubAdmin):
    form = ReportForm
    autocomplete_fields = ("account",)
    panels: ClassVar = [runs_of_report]
    due = moment_column("Next", "next_run_at")
    created = moment_column("Created", "created_at")
    list_display = ("name", "of_what", "account", "period", "sent_to", "due")
    list_filter = (("account", RelatedFilter), ("period", ValuesFilter))
    list_select_related = ("account", "dashboard")
    search_fields = ("name",)
    ordering = ("name", "id")
    actions_detail = ("run_now",)
    empty_text = (
        "A report sends the figures of a dashboard, or the health of all integrations, by e-mail "
        "each day, week or month, with PDF, Excel and CSV; or it is made when you ask for it."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Report]:
        rows: Any = super().get_queryset(request)
        seen: QuerySet[Report] = rows.seen_by(request.user.pk)
        return seen

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        names: tuple[str, ...] = self.form.Meta.fields
        if obj is not None and not self.has_change_permission(request, obj):
            names = tuple("of_what" if name == "of" else name for name in names)
        return (*names, "due", "created") if obj is not None else names

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("account", "of_what", "due", "created")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any):  # type: ignore[no-untyped-def]
        form = super().get_form(request, obj, change, **kwargs)
        rows = visible_rows(request, Dashboard.objects.all())
        form.boards = rows.seen_by(request.user.pk)  # type: ignore[attr-defined]
        return form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        found: dict[str, Any] = super().get_changeform_initial_data(request)
        own = getattr(request.user, "time_zone", "")
        found.setdefault("time_zone", own or "UTC")
        if request.user.get_username() and getattr(request.user, "email", ""):
            found.setdefault("recipients", [request.user.email])  # type: ignore[union-attr]
        return found

    @column("Of")
    def of_what(self, report: Report) -> Any:
        if report.dashboard is not None:
            return link_to(report.dashboard)
        return SUBJECTS[report.subject].name if report.subject in SUBJECTS else report.subject

    @column("To")
    def sent_to(self, report: Report) -> str:
        return (
            ", ".join(report.recipients[:3]) + (", …" if len(report.recipients) > 3 else "") or "-"
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        given = form.given(change)
        if change:
            if given:
                services.change_report(report=obj, **given)
            return
        owner = request.user if isinstance(request.user, User) else None
        made = services.create_report(account=form.cleaned_data["account"], owner=owner, **given)
        obj.__dict__.update(made.__dict__)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.delete_report(report=obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        found = super().get_actions(request)
        found.pop("delete_selected", None)
        return found

    @button(
        "Make it now",
        question="The report of the last whole period is made within a minute; its files are "
        "listed on this page then.",
        icon="play_arrow",
        variant="primary",
        form=RunForm,
    )
    def run_now(self, report: Report, is_sent: bool = False) -> str:
        services.request_run(report=report, is_sent=is_sent)
        return "It is being made. Look at this page again in a moment."


class SeenReportFilter(RelatedFilter):
    """A report that the user sees: one of a dashboard that is private to another has no name."""

    def choices(self, changelist: Any) -> Iterator[Any]:
        for choice in super().choices(changelist):
            field = choice["form"].fields[self.lookup_kwarg]
            field.queryset = field.queryset.seen_by(self.request.user.pk)
            yield choice


@admin.register(ReportRun)
class ReportRunAdmin(HistoryAdmin):
    created = moment_column("Asked for", "created_at")
    ended = moment_column("Ended", "finished_at")
    asked_by = value_column("Asked by", "trigger")
    list_display = ("report", "status_label", "period", "asked_by", "files", "created")
    list_filter = (
        ("status", ValuesFilter), ("account", RelatedFilter), ("report", SeenReportFilter),
    )  # fmt: skip
    list_select_related = ("report",)
    prefetched = ()
    ordering = ("-created_at",)
    fields = (
        "report", "account", "status_label", "period", "asked_by", "files", "is_sent",
        "requested_by", "attempt_count", "error", "created", "ended",
    )  # fmt: skip
    empty_text = "None was made yet."

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReportRun]:
        rows: Any = super().get_queryset(request)
        seen: QuerySet[ReportRun] = rows.seen_by(request.user.pk)
        return seen.select_related("report").prefetch_related(_files())

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.file)
        name = "analytics_reportrun_file"
        return [
            path("<uuid:pk>/files/<slug:file_format>/", view, name=name), *super().get_urls(),
        ]  # fmt: skip

    @column("Period")
    def period(self, run: ReportRun) -> str:
        return f"{_of(run, run.report)}, {run.report.time_zone}"

    @column("State")
    def status_label(self, run: ReportRun) -> str:
        return label(run.status, RUN_COLOURS)

    @column("Files")
    def files(self, run: ReportRun) -> Any:
        if found := _downloads(run):
            return found
        return "kept no longer" if run.status == ReportRun.Status.FINISHED else "-"

    def file(self, request: HttpRequest, pk: UUID, file_format: str) -> HttpResponse:
        """A file of a run that the user may look at."""
        if not self.may(request, "view"):
            raise PermissionDenied
        run = self.get_queryset(request).filter(pk=pk).first()
        found = run.files.filter(format=file_format).first() if run is not None else None
        if found is None:
            raise Http404
        return download(found)
