"""Past events carried again."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q

from outgoing import replays
from outgoing.admin.deliveries import STATUS_COLOURS as DELIVERY_COLOURS
from outgoing.models import Delivery, Replay
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.replays import STARTABLE, JobAdmin
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    capped_count,
    label,
    link,
    list_of,
    moment_column,
)


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
    panels: ClassVar = [deliveries_of_replay]
    period_start = moment_column("Events since", "since")
    period_end = moment_column("Events until", "until")
    list_display = (
        "created", "status_label", "account", "period_start", "period_end", "event_type",
        "subscription", "progress",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("account", RelatedFilter),
        ("subscription", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("account", "subscription")
    search_help_text = "Id, or an event type"
    actions_detail = ("run",)
    fields = (
        "status_label", "progress", "account", "period_start", "period_end", "event_type",
        "subscription", "requested_by", "created", "finished", "error",
    )  # fmt: skip

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
        ran = replays.start_replay(replay)
        return f"{ran.redelivered_count} deliveries are in line again."
