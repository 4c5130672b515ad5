"""What people were told."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import Q

from monitoring.admin.links import object_link
from monitoring.channels import services
from monitoring.models import Channel, Notification
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import (
    ChoicesFilter,
    PeriodFilter,
    RelatedFilter,
    ValuesFilter,
)
from webhooks_project.admin.panels import Panel, Table, Texts
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    EMPTY,
    column,
    label,
    link,
    moment,
    moment_column,
    page_of,
    short,
    text_block,
    text_column,
    visible,
)

SINCE: Final = timedelta(days=1)
SHOWN_ROWS: Final = 8


NOTIFICATION_COLOURS = {
    Notification.Status.PENDING: "info",
    Notification.Status.SENDING: "primary",
    Notification.Status.SENT: "success",
    Notification.Status.FAILED: "danger",
    Notification.Status.COMBINED: "info",
    Notification.Status.WITHDRAWN: "warning",
}


def text_of_notification(notification: Notification) -> Panel:
    return Texts("What was told", [text_block("Text", notification.text)])


def parts_of_notification(notification: Notification) -> Panel | None:
    """Those that it was told for."""
    parts = notification.parts.order_by("created_at")[:SHOWN_ROWS]
    rows = [
        [
            link(page_of("monitoring.notification", part.pk), moment(part.created_at)),
            short(part.title),
        ]
        for part in parts
    ]
    return Table("It stands for", ["When", "Title"], rows) if rows else None


@admin.register(Notification)
class NotificationAdmin(HistoryAdmin):
    deferred = ("text",)
    panels: ClassVar = [text_of_notification, parts_of_notification]
    empty_text = "What people are told of incidents, endpoints and receipts is queued here."
    actions_detail = ("resend",)
    created = moment_column("When", "created_at")
    sent = moment_column("Sent", "sent_at")
    next_attempt = moment_column("Next try", "next_attempt_at")
    title_text = text_column("Title", "title")
    error_text = text_column("Error", "error")
    list_display = (
        "created", "status_label", "via_label", "told_to", "title_text", "error_text", "about",
        "account", "kind",
    )  # fmt: skip
    list_filter = (
        ("status", ValuesFilter),
        ("via", ChoicesFilter),
        ("channel", RelatedFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    prefetched = ("account", "channel")
    list_select_related = ()
    search_fields = ("pk",)
    search_help_text = "Id of what it is about, a recipient, or a kind such as receipt.routed"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    fields = (
        "created", "status_label", "via_label", "channel", "told_to", "title_text", "kind",
        "about", "account", "attempt_count", "next_attempt", "sent", "error_text", "whole",
    )  # fmt: skip

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is not None:
            return Q(pk=key) | Q(object_id=str(key))
        return Q(recipient=term) | Q(kind=term)

    @column("Status")
    def status_label(self, notification: Notification) -> str:
        return label(notification.status, NOTIFICATION_COLOURS)

    @column("Via")
    def via_label(self, notification: Notification) -> str:
        return str(Channel.Kind(notification.via).label)

    @column("Told to")
    def told_to(self, notification: Notification) -> str:
        return visible(notification.told_to)

    @column("Told as a part of")
    def whole(self, notification: Notification) -> str:
        key = notification.combined_in_id
        return link(page_of("monitoring.notification", key), "this message") if key else EMPTY

    @button(
        "Send again",
        icon="replay",
        question="It is tried again at once, and as often as a new one.",
        is_possible=lambda notification: notification.status == Notification.Status.FAILED,
    )
    def resend(self, notification: Notification) -> str:
        services.resend_notification(notification=notification)
        return "It is tried again."

    @column("About")
    def about(self, notification: Notification) -> str:
        return object_link(notification.object_type, notification.object_id)
