"""Jobs over many subscriptions."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_safe

from subscriptions.admin.bulk_pages import csv_file
from subscriptions.bulk import jobs
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.bulk.results import written_results
from subscriptions.models import Subscription
from webhooks_project.admin.access import may
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import ShownOnce, button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.search import NONE, id_in
from webhooks_project.admin.values import (
    EMPTY,
    column,
    json_text,
    label,
    link,
    moment_column,
    page_of,
    short,
    text_column,
    value_column,
)

Status = BulkJob.Status
STATUS_COLOURS = {
    Status.PLANNED: "info",
    Status.RUNNING: "primary",
    Status.FINISHED: "success",
    Status.FAILED: "danger",
}
OUTCOME_COLOURS = {
    BulkLine.Outcome.CREATED: "success",
    BulkLine.Outcome.CHANGED: "info",
    BulkLine.Outcome.REFUSED: "danger",
}
SHOWN_LINES: Final = 100


def lines_of_job(job: BulkJob) -> Panel:
    """The first lines, those that are refused before the others."""
    found = job.lines.select_related("subscription").order_by("number")
    refused = list(found.filter(outcome=BulkLine.Outcome.REFUSED)[:SHOWN_LINES])
    others = found.exclude(outcome=BulkLine.Outcome.REFUSED)[: SHOWN_LINES - len(refused)]
    rows = [
        [
            line.number,
            label(line.outcome, OUTCOME_COLOURS),
            _subscription(line),
            short(", ".join(sorted(line.changes))) or EMPTY,
            short("; ".join(f"{item['path'][1:]} {item['message']}" for item in line.problems), 300)
            or EMPTY,
        ]
        for line in [*refused, *others]
    ]
    url = reverse("admin:subscriptions_bulkjob_results", args=[job.pk])
    headers = ["Line", "Outcome", "Subscription", "Changes", "Problems"]
    title = "What it would do" if job.is_dry_run else "What it did"
    return Table(title, headers, rows, more=link(url, "All as CSV"))


def _subscription(line: BulkLine) -> str:
    row = line.subscription
    if row is not None:
        return link(page_of("subscriptions.subscription", row.pk), short(row.name))
    return short(str(line.document.get("name", EMPTY)))


@admin.register(BulkJob)
class BulkJobAdmin(HistoryAdmin):
    has_history = True
    panels: ClassVar = [lines_of_job]
    created = moment_column("Created", "created_at")
    started = moment_column("Started", "started_at")
    finished = moment_column("Ended", "finished_at")
    error_text = text_column("Error", "error")
    action_text = value_column("Action", "action")
    by = text_column("Requested by", "requested_by")
    list_display = ("created", "action_text", "status_label", "account", "progress", "by")
    list_filter = (
        ("status", ValuesFilter),
        ("action", ValuesFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ()
    prefetched = ("account",)
    search_fields = ("pk",)
    search_help_text = "Id"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions_detail = ("start", "cancel", "show_secrets")
    fields = (
        "status_label", "progress", "counts", "account", "action_text", "asked", "by", "created",
        "started", "finished", "error_text",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        return Q(pk=key) if key else NONE

    def get_urls(self) -> list[Any]:
        results = path(
            "<path:object_id>/results/",
            self.admin_site.admin_view(self.results_view),
            name="subscriptions_bulkjob_results",
        )
        return [results, *super().get_urls()]

    @method_decorator(require_safe)
    def results_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """What became of each line, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = self.get_object(request, unquote(object_id))
        if job is None:
            return self.row_missing(request, object_id)
        return csv_file(written_results(job), f"bulk-job-{job.pk}.csv")

    def may(self, request: HttpRequest, verb: str, row: Any = None) -> bool:
        """A job needs the role that its action needs for one subscription."""
        is_allowed = row is None or may(request, Subscription, row.action, row)
        return is_allowed and super().may(request, verb, row)

    @button(
        "Start",
        icon="play_arrow",
        variant="primary",
        question="Its lines are done as they are shown, each as it then is.",
        is_possible=lambda job: job.status in (Status.PLANNED, Status.FAILED),
    )
    def start(self, job: BulkJob) -> str:
        jobs.start_job(job)
        return "The job is running."

    @button(
        "Cancel",
        icon="stop",
        variant="danger",
        question="No more lines are done. Those that are done stay done.",
        is_possible=lambda job: job.status in (Status.PLANNED, Status.RUNNING),
    )
    def cancel(self, job: BulkJob) -> str:
        cancelled = jobs.cancel_job(job)
        return f"The job is cancelled after {cancelled.done_count} lines."

    @button(
        "Show new secrets",
        icon="key",
        question="The signing secrets that it made are shown once, and then forgotten.",
        is_possible=lambda job: job.secrets_until is not None,
    )
    def show_secrets(self, job: BulkJob) -> ShownOnce | str:
        made = jobs.take_secrets(job)
        if not made:
            return "There are none to show any more."
        lines = [f"{item.subscription_id} {item.secret}" for item in made]
        return ShownOnce("New signing secrets", "\n".join(lines))

    @column("Status")
    def status_label(self, job: BulkJob) -> str:
        is_shown = job.is_dry_run and job.status == Status.RUNNING
        return label("dry run" if is_shown else job.status, STATUS_COLOURS)

    @column("Progress")
    def progress(self, job: BulkJob) -> str:
        return f"{job.done_count} of {job.line_count}"

    @column("Outcomes")
    def counts(self, job: BulkJob) -> str:
        return (
            f"{job.created_count} created, {job.changed_count} changed, "
            f"{job.unchanged_count} unchanged, {job.refused_count} refused"
        )

    @column("Asked for")
    def asked(self, job: BulkJob) -> str:
        return short(json_text({**job.selection, **job.settings}), 1000)
