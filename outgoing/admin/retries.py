"""The retry queue."""

from __future__ import annotations

from datetime import datetime

from django import forms
from django.contrib import admin
from django.db.models import Q

from outgoing import retries
from outgoing.models import Retry
from webhooks_project.admin.base import HistoryAdmin
from webhooks_project.admin.bulk import bulk
from webhooks_project.admin.buttons import button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import TextInput
from webhooks_project.admin.search import NONE, first_found, id_in
from webhooks_project.admin.values import column, link_to, moment, moment_column, value_column


class PostponeForm(forms.Form):
    until = forms.DateTimeField(
        widget=TextInput, help_text="Such as 2030-01-31 12:00, in UTC; in the next thirty days."
    )


@admin.register(Retry)
class RetryAdmin(HistoryAdmin):
    empty_text = "A delivery whose attempt failed waits here for the next one."
    has_history = True
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
    actions = ("bring_selected_forward", "cancel_selected")
    actions_detail = ("bring_forward", "postpone", "cancel")
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

    @button(
        "Bring forward",
        icon="fast_forward",
        variant="primary",
        question="It is due now. The attempt follows as soon as the endpoint's limits let it.",
    )
    def bring_forward(self, retry: Retry) -> str:
        retries.bring_forward(retry=retry)
        return "It is due now."

    @button(
        "Postpone",
        icon="schedule",
        question="It is due at another moment. The attempts after it follow by the schedule.",
        form=PostponeForm,
    )
    def postpone(self, retry: Retry, until: datetime) -> str:
        return f"It is due at {moment(retries.postpone(retry=retry, until=until).due_at)}."

    @button(
        "Cancel",
        icon="cancel",
        variant="danger",
        question="The delivery is given up. It can still be redelivered later.",
    )
    def cancel(self, retry: Retry) -> str:
        retries.cancel_retry(retry=retry)
        return "The delivery is cancelled."

    @bulk("Bring forward", order="due_at", done="{taken} of {count} retries are due now.")
    def bring_selected_forward(self, retry: Retry) -> None:
        retries.bring_forward(retry=retry)

    @bulk("Cancel", order="due_at", done="{taken} of {count} deliveries are cancelled.")
    def cancel_selected(self, retry: Retry) -> None:
        retries.cancel_retry(retry=retry)

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
