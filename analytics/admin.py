"""Counts per period."""

from __future__ import annotations

from django.contrib import admin

from analytics.models import Rollup
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter
from webhooks_project.admin.values import column, label, milliseconds, moment_column


@admin.register(Rollup)
class RollupAdmin(HistoryAdmin):
    minute_start = moment_column("Minute", "minute")
    list_display = (
        "minute_start", "subscription", "cause_label", "attempts", "first_attempts", "mean",
        "slowest",
    )  # fmt: skip
    list_filter = (
        ("subscription", RelatedFilter),
        ("account", RelatedFilter),
        ("minute", PeriodFilter),
    )
    list_select_related = ("subscription",)
    search_fields = ("subscription__name", "cause")
    date_hierarchy = "minute"
    ordering = ("-minute",)
    fields = (
        "minute_start", "subscription", "account", "cause_label", "attempts", "first_attempts",
        "mean", "slowest",
    )  # fmt: skip

    @column("Cause")
    def cause_label(self, rollup: Rollup) -> str:
        return label(rollup.cause or "succeeded", {"succeeded": "success"})

    @column("Mean")
    def mean(self, rollup: Rollup) -> str:
        return milliseconds(rollup.duration_ms_sum / rollup.attempts if rollup.attempts else None)

    @column("Slowest")
    def slowest(self, rollup: Rollup) -> str:
        return milliseconds(rollup.duration_ms_max)
