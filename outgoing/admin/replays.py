"""Past events carried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

import orjson
from django import forms
from django.contrib import admin
from django.db.models import Q

from outgoing import replays
from outgoing.admin.deliveries import STATUS_COLOURS as DELIVERY_COLOURS
from outgoing.models import Delivery, Replay
from outgoing.selecting import Selection
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import Checkboxes, JsonField
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.replays import STARTABLE, JobAdmin, PlanForm
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    EMPTY,
    capped_count,
    column,
    label,
    link,
    list_of,
    moment_column,
    page_of,
    pretty_json,
    text_column,
    value_column,
    visible,
)

Status = Replay.Status
PLANNING = (
    "Which events are to be carried again? What is saved is a plan that counts their deliveries; "
    "nothing is sent before it is started."
)


class EventPlanForm(PlanForm):
    """Which events, and of what kind the job is: see `selecting.Selection`."""

    part = "subscription"
    statuses = forms.MultipleChoiceField(
        required=False,
        choices=[(status.value, status.label) for status in replays.ENDED],
        widget=Checkboxes,
        help_text="Of a replay: none chosen for all of these. Others are never replayed.",
    )
    filter = JsonField(
        required=False,
        help_text="A filter as subscriptions have them, asked of each event; empty for all.",
    )

    class Meta:
        model = Replay
        fields = (
            "kind", "account", "subscription", "since", "until", "event_type", "statuses",
            "channel", "filter",
        )  # fmt: skip
        labels: ClassVar = {"since": "Events since", "until": "Events until"}
        help_texts: ClassVar = {
            "kind": "Recover: what was given up. Missing: what a subscription never got and "
            "matches now. Replay: whatever has ended, delivered or not.",
            "account": "Empty for that of the subscription.",
            "subscription": "Empty for all of the account.",
            "since": "In UTC, inclusive.",
            "until": "In UTC, exclusive; never later than now.",
            "event_type": "A type, or a beginning with * after it; empty for all.",
            "channel": "One of the event's channels; empty for all.",
        }


def plan_of_replay(replay: Replay) -> Panel:
    """What was counted when it was planned."""
    rows = [
        [
            visible(row["event_type"]),
            link(page_of("subscriptions.subscription", row["subscription"]),
                 visible(row["subscription_name"])),
            f"{row['count']:,}",
        ]
        for row in replay.plan.get("deliveries", ())
    ]  # fmt: skip
    headers = ["Event type", "Subscription", "Deliveries"]
    title = "Plan" if replay.plan.get("is_complete", True) else "Plan, of the first events only"
    return Table(title, headers, rows, empty="There is nothing to replay.")


def left_out_of_replay(replay: Replay) -> Panel:
    """What fits the selection and is not replayed, and why."""
    rows = [[reason, f"{count:,}"] for reason, count in replay.plan.get("left_out", {}).items()]
    return Table("Left out", ["Why", "Deliveries"], rows, empty="Nothing.")


def deliveries_of_replay(replay: Replay) -> Panel:
    """What became of the deliveries that it put back in line."""
    rows = []
    for status in Delivery.Status:
        count = capped_count(replay.deliveries.filter(status=status))
        if count != "0":
            filters = {"replay__id__exact": replay.pk, "status__exact": status.value}
            url = list_of("outgoing.delivery", **filters)
            rows.append([label(status.value, DELIVERY_COLOURS), link(url, count)])
    return Table("Deliveries taken", ["Status", "Deliveries"], rows, empty="None yet.")


@admin.register(Replay)
class ReplayAdmin(JobAdmin):
    done_count = "redelivered_count"
    plan_form = EventPlanForm
    planning = PLANNING
    planned_word = "Deliveries"
    autocomplete_fields = ("account", "subscription")
    empty_text = "A replay carries past events again. Plan one, look at its plan, then run it."
    panels: ClassVar = [plan_of_replay, left_out_of_replay, deliveries_of_replay]
    kind_word = value_column("Kind", "kind")
    started = moment_column("Started", "started_at")
    paused = moment_column("Paused", "paused_at")
    period_start = moment_column("Events since", "since")
    period_end = moment_column("Events until", "until")
    asked_type = text_column("Type", "event_type")
    asked_channel = text_column("Channel", "channel")
    list_display = (
        "created", "kind_word", "status_label", "account", "period_start", "period_end",
        "asked_type", "subscription", "progress",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("kind", ValuesFilter),
        ("account", RelatedFilter),
        ("subscription", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("account", "subscription")
    deferred = ("plan", "filter")
    search_help_text = "Id, a subscription's id, or an event type"
    actions_detail = ("run", "pause", "resume", "cancel")
    fields = (
        "status_label", "progress", "kind_word", "estimate", "account", "subscription",
        "period_start", "period_end", "asked_type", "asked_statuses", "asked_channel",
        "asked_filter", "requested_by", "created", "started", "paused", "finished", "error",
    )  # fmt: skip

    def plan(self, asked: dict[str, Any]) -> Replay:
        kind = asked.pop("kind")
        return replays.plan_replay(Selection(**asked), kind)

    def find(self, term: str) -> Q:
        key = id_in(term)
        return Q(event_type=term) if key is None else Q(pk=key) | Q(subscription_id=key)

    @button(
        "Run",
        icon="play_arrow",
        variant="primary",
        question="The planned deliveries are put back in line, behind first attempts.",
        is_possible=lambda replay: replay.status in STARTABLE,
    )
    def run(self, replay: Replay) -> str:
        replays.start_replay(replay)
        return "The replay is running."

    @button(
        "Pause",
        icon="pause",
        variant="warning",
        question="No more deliveries are put in line until it is resumed.",
        is_possible=lambda replay: replay.status == Status.RUNNING and not replay.paused_at,
    )
    def pause(self, replay: Replay) -> str:
        paused = replays.pause_replay(replay)
        return f"The replay is paused after {paused.redelivered_count} deliveries."

    @button(
        "Resume",
        icon="play_arrow",
        variant="primary",
        question="It goes on where it stopped.",
        is_possible=lambda replay: bool(replay.status == Status.RUNNING and replay.paused_at),
    )
    def resume(self, replay: Replay) -> str:
        replays.resume_replay(replay)
        return "The replay is running."

    @button(
        "Cancel",
        icon="stop",
        variant="danger",
        question="No more deliveries are put in line. Those that are in line are carried.",
        is_possible=lambda replay: replay.status in (Status.PLANNED, Status.RUNNING),
    )
    def cancel(self, replay: Replay) -> str:
        cancelled = replays.cancel_replay(replay)
        return f"The replay is cancelled after {cancelled.redelivered_count} deliveries."

    @column("Statuses")
    def asked_statuses(self, replay: Replay) -> str:
        return ", ".join(replay.statuses) or EMPTY

    @column("Filter")
    def asked_filter(self, replay: Replay) -> str:
        return EMPTY if replay.filter is None else pretty_json(orjson.dumps(replay.filter))

    @column("Estimated duration")
    def estimate(self, replay: Replay) -> str:
        seconds = replay.plan.get("estimated_seconds")
        return EMPTY if seconds is None else str(timedelta(seconds=seconds))
