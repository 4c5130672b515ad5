"""What people were told."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import Q

from monitoring.admin.links import object_link
from monitoring.models import Notification
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import (
    PeriodFilter,
    RelatedFilter,
    ValuesFilter,
)
from webhooks_project.admin.panels import Panel, Texts
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    label,
    moment_column,
    text_block,
    text_column,
)

SINCE: Final = timedelta(days=1)
SHOWN_ROWS: Final = 8


NOTIFICATION_COLOURS = {
    Notification.Status.PENDING: "info",
    Notification.Status.SENDING: "primary",
    Notification.Status.SENT: "success",
    Notification.Status.FAILED: "danger",
}


def text_of_notification(notification: Notification) -> Panel:
    return Texts("What was told", [text_block("Text", notification.text)])


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    deferred = ("text",)
    panels: ClassVar = [text_of_notification]
    created = moment_column("When", "created_at")
    sent = moment_column("Sent", "sent_at")
    next_attempt = moment_column("Next try", "next_attempt_at")
    title_text = text_column("Title", "title")
    error_text = text_column("Error", "error")
    list_display = (
        "created", "status_label", "recipient", "title_text", "kind", "about", "account",
        "error_text",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    prefetched = ("account",)
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what it is about, a recipient, or a kind such as receipt.routed"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = (
        "created", "status_label", "recipient", "via", "title_text", "kind", "about",
        "account", "attempt_count", "next_attempt", "sent", "error_text",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(recipient=term) | Q(kind=term)

    @column("Status")
    def status_label(self, notification: Notification) -> str:
        return label(notification.status, NOTIFICATION_COLOURS)

    @column("About")
    def about(self, notification: Notification) -> str:
        return object_link(notification.object_type, notification.object_id)
