"""Past receipts processed again."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Count, Q

from incoming import replays
from incoming.admin.receipts import STATUS_COLOURS as RECEIPT_COLOURS
from incoming.models import Receipt, ReceiptReplay
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import Checkboxes
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.replays import STARTABLE, JobAdmin, PlanForm
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    moment_column,
    page_of,
    text_column,
    visible,
)

Status = ReceiptReplay.Status
PLANNING = (
    "Which receipts are to be processed again? What is saved is a plan that counts them; nothing "
    "is processed before it is started."
)


class ReceiptPlanForm(PlanForm):
    """Which receipts: see `replays.Selection`."""

    part = "source"

    statuses = forms.MultipleChoiceField(
        required=False,
        choices=[(status.value, status.label) for status in replays.REPLAYABLE],
        widget=Checkboxes,
        help_text="None chosen for all of these. Others are never replayed.",
    )

    class Meta:
        model = ReceiptReplay
        fields = ("account", "source", "since", "until", "type_pattern", "statuses", "cause")
        labels: ClassVar = {
            "since": "Receipts since",
            "until": "Receipts until",
            "type_pattern": "Type",
        }
        help_texts: ClassVar = {
            "account": "Empty for that of the source.",
            "source": "Empty for all of the account.",
            "since": "In UTC, inclusive.",
            "until": "In UTC, exclusive; never later than now.",
            "type_pattern": "A type, or a beginning with * after it; empty for all.",
            "cause": "Why they were refused or failed, such as schema_mismatch; empty for all.",
        }


def plan_of_replay(replay: ReceiptReplay) -> Panel:
    """What was counted when it was planned."""
    rows = [
        [
            link(page_of("incoming.source", row["source"]), visible(row["source_name"])),
            visible(row["type"]) or EMPTY,
            label(row["status"], RECEIPT_COLOURS),
            f"{row['count']:,}",
        ]
        for row in replay.plan.get("receipts", ())
    ]
    headers = ["Source", "Type", "Status", "Receipts"]
    return Table("Plan", headers, rows, empty="There is nothing to replay.")


def left_out_of_replay(replay: ReceiptReplay) -> Panel:
    """What fits the selection and is not replayed, and why."""
    rows = [[reason, f"{count:,}"] for reason, count in replay.plan.get("left_out", {}).items()]
    return Table("Left out", ["Why", "Receipts"], rows, empty="Nothing.")


def receipts_of_replay(replay: ReceiptReplay) -> Panel:
    """What became of the receipts that it put back in line."""
    counts = dict(replay.receipts.order_by().values_list("status").annotate(count=Count("pk")))
    rows = [
        [label(status.value, RECEIPT_COLOURS), f"{counts[status]:,}"]
        for status in Receipt.Status
        if status in counts
    ]
    return Table("Receipts taken", ["Status", "Receipts"], rows, empty="None yet.")


@admin.register(ReceiptReplay)
class ReceiptReplayAdmin(JobAdmin):
    done_count = "replayed_count"
    plan_form = ReceiptPlanForm
    planning = PLANNING
    planned_word = "Receipts"
    autocomplete_fields = ("account", "source")
    empty_text = (
        "A replay processes past receipts again. Plan one, look at its plan, then start it."
    )
    panels: ClassVar = [plan_of_replay, left_out_of_replay, receipts_of_replay]
    started = moment_column("Started", "started_at")
    period_start = moment_column("Receipts since", "since")
    period_end = moment_column("Receipts until", "until")
    asked_type = text_column("Type", "type_pattern")
    asked_cause = text_column("Cause", "cause")
    list_display = (
        "created", "status_label", "account", "source", "period_start", "period_end",
        "asked_type", "progress",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("account", RelatedFilter),
        ("source", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("account", "source")
    deferred = ("plan",)
    search_help_text = "Id, a source's id, or a type"
    actions_detail = ("start", "cancel")
    fields = (
        "status_label", "progress", "account", "source", "period_start", "period_end",
        "asked_receipt", "asked_type", "asked_statuses", "asked_cause", "requested_by", "created",
        "started", "finished", "error",
    )  # fmt: skip

    def plan(self, asked: dict[str, Any]) -> ReceiptReplay:
        return replays.plan_replay(replays.Selection(**asked))

    def find(self, term: str) -> Q:
        key = id_in(term)
        return Q(type_pattern=term) if key is None else Q(pk=key) | Q(source_id=key)

    @button(
        "Start",
        icon="play_arrow",
        variant="primary",
        question="The planned receipts are processed again, behind what arrives meanwhile.",
        is_possible=lambda replay: replay.status in STARTABLE,
    )
    def start(self, replay: ReceiptReplay) -> str:
        replays.start_replay(replay)
        return "The replay is running."

    @button(
        "Cancel",
        icon="stop",
        variant="danger",
        question="No more receipts are put in line. Those that are in line are processed.",
        is_possible=lambda replay: replay.status in (Status.PLANNED, Status.RUNNING),
    )
    def cancel(self, replay: ReceiptReplay) -> str:
        cancelled = replays.cancel_replay(replay)
        return f"The replay is cancelled after {cancelled.replayed_count} receipts."

    @column("Receipt")
    def asked_receipt(self, replay: ReceiptReplay) -> str:
        if replay.receipt_id is None:
            return EMPTY
        return link(page_of("incoming.receipt", replay.receipt_id), replay.receipt_id)

    @column("Statuses")
    def asked_statuses(self, replay: ReceiptReplay) -> str:
        return ", ".join(replay.statuses) or EMPTY
