"""The operators' console: what all of its pages share, and the pages of the hub itself."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django_q.models import Failure, OrmQ, Schedule, Success

from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import TextChoiceFilter
from webhooks_project.admin.values import column, label, moment_column
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat
from webhooks_project.queues import PUMPS

admin.site.index_title = "Overview"

# A schedule calls any function by its name: whoever may edit one runs what they like on the nodes.
for model in (Schedule, Success, Failure, OrmQ):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

SILENT_AFTER = timedelta(seconds=30)  # as /readyz counts it


class FamilyFilter(TextChoiceFilter):
    title = "family"
    parameter_name = "family"
    options = tuple(PUMPS)


@admin.register(Heartbeat)
class HeartbeatAdmin(HistoryAdmin):
    """The places of the pumps, and their signs of life."""

    beat = moment_column("Last sign of life", "beat_at")
    started = moment_column("Started", "started_at")
    stop_requested = moment_column("Stop requested", "stop_requested_at")
    list_display = ("place", "cluster", "host", "state", "beat", "started", "pid")
    list_filter = (FamilyFilter,)
    search_fields = ("host", "cluster")
    date_hierarchy = "beat_at"
    ordering = ("-beat_at",)
    fields = (
        "family", "slot", "cluster", "host", "state", "pid", "beat", "started", "stop_requested",
    )  # fmt: skip

    @column("Place")
    def place(self, row: Heartbeat) -> str:
        return f"{row.family}/{row.slot}"

    @column("State")
    def state(self, row: Heartbeat) -> str:
        if row.token is None or row.beat_at is None:
            return label("free")
        is_silent = clock.now() - row.beat_at > SILENT_AFTER
        return label("silent" if is_silent else "alive", {"silent": "danger", "alive": "success"})
