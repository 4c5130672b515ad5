"""Refused calls, counted."""

from __future__ import annotations

from django.contrib import admin

from incoming.models import RefusalCount
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.values import column, link, list_of, moment_column, value_column


@admin.register(RefusalCount)
class RefusalCountAdmin(HistoryAdmin):
    empty_text = "Calls that a source refuses are counted here, hour by hour and by cause."
    hour_start = moment_column("Hour", "hour")
    cause_word = value_column("Cause", "cause")
    list_display = ("hour_start", "source", "cause_word", "count", "account")
    list_filter = (
        ("cause", ValuesFilter),
        ("source", RelatedFilter),
        ("account", RelatedFilter),
        ("hour", PeriodFilter),
    )
    list_select_related = ("source", "account")
    search_fields = ("source__name", "cause")
    search_help_text = "Part of the source's name or of the cause"
    date_hierarchy = "hour"
    ordering = ("-hour", "-count")
    fields = ("hour_start", "source", "account", "cause_word", "count", "receipts")

    @column("Receipts kept")
    def receipts(self, row: RefusalCount) -> str:
        filters = {"source__id__exact": row.source_id, "cause__exact": row.cause}
        return link(list_of("incoming.receipt", **filters), "Receipts with this cause")
