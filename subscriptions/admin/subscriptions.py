"""Who may hear what."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from subscriptions import services
from subscriptions.admin.bulk_pages import BulkPages
from subscriptions.models import Subscription
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import ShownOnce, button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import LinesField, NumberInput, ServiceForm, Textarea, TextInput
from webhooks_project.admin.panels import Panel, secrets_table
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    label,
    moment,
    moment_column,
    value_column,
)

Status = Subscription.Status
STATUS_COLOURS = {
    Status.ACTIVE: "success",
    Status.PAUSED: "warning",
    Status.VERIFYING: "info",
    Status.DISABLED: "danger",
    Status.EXPIRED: "danger",
}
HINT = "The receiver verifies the webhook-signature header with it."


class SubscriptionForm(ServiceForm):
    event_types = LinesField(
        widget=Textarea(attrs={"rows": 4}),
        help_text="One a line: invoice.paid, invoice.* or *.",
    )
    timeout_seconds = forms.IntegerField(
        min_value=1,
        max_value=60,
        initial=15,
        widget=NumberInput,
        help_text="The deadline of one attempt, everything included: 1 to 60 seconds.",
    )
    max_in_flight = forms.IntegerField(
        min_value=1,
        max_value=1000,
        required=False,
        widget=NumberInput,
        help_text="How many attempts are under way at once, over all workers; empty for the hub's "
        "own share.",
    )
    error_fields: ClassVar = {
        "endpoint_not_acceptable": "url",
        "event_type_malformed": "event_types",
    }

    class Meta:
        model = Subscription
        fields = ("account", "name", "url", "description", "timeout_seconds", "max_in_flight")
        labels: ClassVar = {"url": "URL"}
        widgets: ClassVar = {"description": Textarea(attrs={"rows": 3})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding and "event_types" in self.fields:
            self.initial["event_types"] = self.instance.event_types


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=200, required=False, widget=TextInput, help_text="Shown beside the status."
    )


def signing_secrets(subscription: Subscription) -> Panel:
    return secrets_table("Signing secrets", subscription.secrets.all())


@admin.register(Subscription)
class SubscriptionAdmin(BulkPages, HubAdmin):
    form = SubscriptionForm
    autocomplete_fields = ("account",)
    panels: ClassVar = [signing_secrets]
    created = moment_column("Created", "created_at")
    endpoint = value_column("URL", "url")
    list_display = ("name", "status_label", "endpoint", "hears", "account", "created")
    list_filter = (
        ("status", ValuesFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("account",)
    search_fields = ("name", "url")
    search_help_text = "Id, or part of the name or the URL"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions_detail = ("pause", "resume", "disable", "rotate_secret", "archive")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return super().get_queryset(request).prefetch_related("patterns")

    def find(self, term: str) -> Q | None:
        key = id_in(term)
        return Q(pk=key) if key else None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is archived instead: its deliveries would go with it

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        settings = ("name", "url", "event_types", "description", "timeout_seconds", "max_in_flight")
        if obj is None:
            return [(None, {"fields": ("account", *settings)})]
        state = ("account", "status_label", "status_since", "created")
        return [(None, {"fields": state}), ("Settings", {"fields": settings})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("status_label", "status_since", "created", "hears")
        return (*shown, "account") if obj is not None else shown

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes((*services.CHANGEABLE, "event_types"))
        if change and changes:
            services.change_subscription(
                subscription=Subscription.objects.get(pk=obj.pk), **changes
            )
        if change:
            return
        made = services.create_subscription(**form.cleaned_data)
        obj.__dict__.update(made.subscription.__dict__)
        self.show_after_add(request, ShownOnce("Signing secret", made.secret, HINT))

    @button(
        "Pause",
        icon="pause",
        question="Its deliveries are held, and nothing is lost.",
        is_possible=lambda subscription: subscription.status == Status.ACTIVE,
        form=ReasonForm,
    )
    def pause(self, subscription: Subscription, reason: str) -> str:
        services.set_status(subscription=subscription, status=Status.PAUSED, reason=reason)
        return "It is paused; its deliveries are held."

    @button(
        "Resume",
        icon="play_arrow",
        variant="success",
        question="It becomes active, and what was held goes out, the oldest first.",
        is_possible=lambda subscription: subscription.status in Subscription.HOLDING,
    )
    def resume(self, subscription: Subscription) -> str:
        services.set_status(subscription=subscription, status=Status.ACTIVE)
        return "It is active; what was held goes out."

    @button(
        "Disable",
        icon="block",
        question="Its deliveries are held until somebody resumes it.",
        is_possible=lambda subscription: subscription.status in (Status.ACTIVE, Status.PAUSED),
        form=ReasonForm,
    )
    def disable(self, subscription: Subscription, reason: str) -> str:
        services.set_status(subscription=subscription, status=Status.DISABLED, reason=reason)
        return "It is disabled; its deliveries are held."

    @button(
        "Rotate secret",
        icon="key",
        question="Deliveries are signed with a new secret from now on, and with the old ones too "
        "for 24 hours. The new one is shown once.",
        is_possible=lambda subscription: subscription.status != Status.ARCHIVED,
    )
    def rotate_secret(self, subscription: Subscription) -> ShownOnce:
        made = services.rotate_secret(subscription=subscription)
        return ShownOnce("New signing secret", made.secret, HINT)

    @button(
        "Archive",
        icon="archive",
        variant="danger",
        question="It hears nothing more, what still waits for it is cancelled, and it cannot be "
        "taken up again.",
        is_possible=lambda subscription: subscription.status != Status.ARCHIVED,
        form=ReasonForm,
    )
    def archive(self, subscription: Subscription, reason: str) -> str:
        services.set_status(subscription=subscription, status=Status.ARCHIVED, reason=reason)
        return "It is archived."

    @column("Status")
    def status_label(self, subscription: Subscription) -> str:
        return label(subscription.status, STATUS_COLOURS)

    @column("Since, why")
    def status_since(self, subscription: Subscription) -> str:
        since = subscription.paused_at or subscription.disabled_at
        return " ".join(filter(None, [moment(since) if since else "", subscription.status_reason]))

    @column("Hears")
    def hears(self, subscription: Subscription) -> str:
        names = subscription.event_types
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
