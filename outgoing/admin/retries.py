"""The retry queue."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q

from outgoing.models import Retry
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.search import NONE, first_found, id_in
from webhooks_project.admin.values import column, link_to, moment_column, value_column


@admin.register(Retry)
class RetryAdmin(HistoryAdmin):
    deferred = ("delivery__event__data", "delivery__event__not_matched")
    due = moment_column("Due", "due_at")
    created = moment_column("Created", "created_at")
    cause_word = value_column("Cause", "cause")
    list_display = ("due", "event_type", "subscription", "number", "cause_word", "created")
    list_filter = (
        ("cause", ValuesFilter),
        ("delivery__subscription", RelatedFilter),
        ("delivery__account", RelatedFilter),
        ("due_at", PeriodFilter),
    )
    list_select_related = ("delivery__event", "delivery__subscription")
    search_fields = ("pk",)
    search_help_text = "Id of a delivery, of its event (evt_…) or of its subscription"
    date_hierarchy = "due_at"
    ordering = ("due_at",)
    fields = (
        "due",
        "number",
        "cause_word",
        "delivery_link",
        "event_link",
        "subscription_link",
        "created",
    )

    def find(self, term: str) -> Q:
        key = id_in(term)
        if key is None:
            return NONE
        found = first_found(
            Retry.objects.filter(pk=key),
            Retry.objects.filter(delivery__event=key),
            Retry.objects.filter(delivery__subscription=key),
        )
        return found or NONE

    @column("Event")
    def event_type(self, retry: Retry) -> str:
        return retry.delivery.event.type

    @column("Subscription")
    def subscription(self, retry: Retry) -> str:
        return retry.delivery.subscription.name

    @column("Delivery")
    def delivery_link(self, retry: Retry) -> str:
        return link_to(retry.delivery)

    @column("Event")
    def event_link(self, retry: Retry) -> str:
        return link_to(retry.delivery.event)

    @column("Subscription")
    def subscription_link(self, retry: Retry) -> str:
        return link_to(retry.delivery.subscription)
