"""The handlers' duties to receipts, and their tries."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest

from incoming import services
from incoming.handlers import HANDLERS
from incoming.models import HandlerRun
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.bulk import bulk
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    TextChoiceFilter,
    ValuesFilter,
)
from webhooks_project.admin.panels import Panel, Texts
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    label,
    link,
    milliseconds,
    moment,
    moment_column,
    page_of,
    text_block,
    text_column,
)

Status = HandlerRun.Status
STATUS_COLOURS = {
    Status.PENDING: "info",
    Status.RUNNING: "primary",
    Status.SUCCEEDED: "success",
    Status.FAILED: "warning",
    Status.DEAD: "danger",
}


def traceback_of_run(run: HandlerRun) -> Panel:
    blocks = [text_block("Traceback", run.error)] if run.error else []
    return Texts("The last failure", blocks, empty="No try has failed.")


class HandlerFilter(TextChoiceFilter):
    title = "handler"
    parameter_name = "handler"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in sorted(HANDLERS)]


@admin.register(HandlerRun)
class HandlerRunAdmin(HistoryAdmin):
    has_history = True
    empty_text = (
        "Where the platform has handlers for a provider, their work on receipts shows here."
    )
    deferred = ("error",)
    panels: ClassVar = [traceback_of_run]
    created = moment_column("Created", "created_at")
    started = moment_column("Last try", "started_at")
    finished = moment_column("Finished", "finished_at")
    cause_word = text_column("Cause", "cause")
    list_display = (
        "created", "status_label", "handler", "cause_word", "attempt_count", "duration",
        "next_try", "source", "receipt_link",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        HandlerFilter,
        ("cause", ValuesFilter),
        ("source", RelatedFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    prefetched = ("source",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of the run or of its receipt, or the handler's name, exactly"
    ordering = ("-created_at",)
    actions = ("run_selected_again",)
    actions_detail = ("run_again",)
    fieldsets = (
        (
            None,
            {"fields": ("handler", "status_label", "source", "account", "receipt_link", "round")},
        ),
        (
            "Tries",
            {
                "fields": (
                    "attempt_count", "cause_word", "started", "duration", "worker", "next_try",
                    "created", "finished",
                )
            },
        ),
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        return Q(handler=term) if key is None else Q(pk=key) | Q(receipt=key)

    @button(
        "Run again",
        icon="replay",
        variant="primary",
        question="This handler is called again with the receipt; the others that it has are not.",
        is_possible=lambda run: run.status in (Status.FAILED, Status.DEAD),
    )
    def run_again(self, run: HandlerRun) -> str:
        services.rerun(run=run)
        return "It runs again."

    @bulk("Run again", done="{taken} of {count} handler runs run again.")
    def run_selected_again(self, run: HandlerRun) -> None:
        services.rerun(run=run)

    @column("Status")
    def status_label(self, run: HandlerRun) -> str:
        return label(run.status, STATUS_COLOURS)

    @column("Receipt")
    def receipt_link(self, run: HandlerRun) -> str:
        return link(page_of("incoming.receipt", run.receipt_id), run.receipt_id)

    @column("Took")
    def duration(self, run: HandlerRun) -> str:
        return milliseconds(run.duration_ms)

    @column("Next try")
    def next_try(self, run: HandlerRun) -> str:
        return moment(run.next_attempt_at)
