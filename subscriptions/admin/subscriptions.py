"""Who may hear what."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from subscriptions import services
from subscriptions.admin.bulk_pages import BulkPages
from subscriptions.admin.security import HOUR_SECONDS, RotationForm, security_panel
from subscriptions.admin.subscription_form import GROUPS, SubscriptionForm
from subscriptions.certificates import STALE_DAYS, is_stale, seen_at
from subscriptions.keys import keys_url
from subscriptions.lifecycle import allows
from subscriptions.models import SigningSecret, Subscription
from subscriptions.renewal import renew_subscription
from subscriptions.security import FIELDS as SECURITY
from subscriptions.setup import (
    Outcome,
    activate_subscription,
    create_with_setup,
    request_setup,
)
from webhooks_project.admin.base import HubAdmin
from webhooks_project.admin.buttons import ShownOnce, button
from webhooks_project.admin.filters import PeriodFilter, RelatedFilter, ValuesFilter
from webhooks_project.admin.forms import TextInput
from webhooks_project.admin.panels import Panel, Table, secrets_table
from webhooks_project.admin.search import id_in
from webhooks_project.admin.values import (
    column,
    label,
    moment,
    moment_column,
    value_column,
)
from webhooks_project.lib import clock

Status = Subscription.Status
STATE: Final = (
    "status_label", "status_since", "breaker_label", "failing", "ends", "certificate_ends",
    "created",
)  # fmt: skip
STATUS_COLOURS = {
    Status.ACTIVE: "success",
    Status.PAUSED: "warning",
    Status.VERIFYING: "info",
    Status.DISABLED: "danger",
    Status.EXPIRED: "danger",
}
BREAKER_COLOURS = {
    Subscription.Breaker.CLOSED: "success",
    Subscription.Breaker.HALF_OPEN: "warning",
    Subscription.Breaker.OPEN: "danger",
}
OUTCOME_COLOURS = {Outcome.OK: "success", Outcome.FAILED: "danger"}
HINT = "The receiver verifies the webhook-signature header with it."


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=200, required=False, widget=TextInput, help_text="Shown beside the status."
    )


class RenewForm(forms.Form):
    expires_at = forms.DateTimeField(
        required=False,
        widget=TextInput,
        label="New end",
        help_text="Such as 2030-01-31 12:00, in UTC; left empty, it does not end.",
    )


def steps_of_setup(subscription: Subscription) -> Panel:
    rows = [
        [
            step["step"].replace("_", " "),
            label(step["outcome"], OUTCOME_COLOURS),
            step["detail"],
            moment(datetime.fromisoformat(step["at"])),
        ]
        for step in subscription.setup
    ]
    empty = "It is due." if subscription.setup_due_at else "It has not run."
    return Table("Set-up", ["Step", "Outcome", "Found", "When"], rows, empty=empty)


def signing_secrets(subscription: Subscription) -> Panel:
    return secrets_table("Signing secrets", subscription.secrets.all())


@admin.register(Subscription)
class SubscriptionAdmin(BulkPages, HubAdmin):
    form = SubscriptionForm
    autocomplete_fields = ("account",)
    panels: ClassVar = [steps_of_setup, signing_secrets, security_panel]
    created = moment_column("Created", "created_at")
    ends = moment_column("Ends", "expires_at")
    failing = moment_column("Failing since", "failing_since")
    endpoint = value_column("URL", "url")
    list_display = ("name", "status_label", "endpoint", "hears", "account", "created")
    list_filter = (
        ("status", ValuesFilter),
        ("breaker", ValuesFilter),
        ("account", RelatedFilter),
        ("created_at", PeriodFilter),
    )
    list_select_related = ("account",)
    search_fields = ("name", "url")
    search_help_text = "Id, or part of the name or the URL"
    date_hierarchy = "created_at"
    ordering = ("-created_at",)
    actions_detail = (
        "verify", "activate", "pause", "disable", "renew", "rotate_secret", "archive",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return super().get_queryset(request).prefetch_related("patterns")

    def find(self, term: str) -> Q | None:
        key = id_in(term)
        return Q(pk=key) if key else None

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False  # it is archived instead: its deliveries would go with it

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            who: list[Any] = [(None, {"fields": ("account", "name", "url", "activate")})]
        else:
            state = ("account", *STATE)
            who = [(None, {"fields": state}), ("Endpoint", {"fields": ("name", "url")})]
        # When it ends is changed by renewing it.
        unasked = {"expires_at"} if obj is not None else set()
        groups: list[Any] = [
            (title, [name for name in names if name not in unasked]) for title, names in GROUPS
        ]
        if self.has_change_permission(request, obj):
            # A form only: as a value to read, a column would be shown with its secrets.
            kept = ("keep_credentials",) if obj is not None else ()
            groups.append(("Security", (*SECURITY, *kept)))
        return [*who, *((title, {"fields": fields}) for title, fields in groups)]

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[Any]]:
        shown = kwargs.get("fields") or flatten_fieldsets(self.get_fieldsets(request, obj))
        # The form declares those itself; the columns are none that a form may write.
        kwargs["fields"] = [name for name in shown if name not in SECURITY]
        return super().get_form(request, obj, change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = (*STATE, "hears")
        return (*shown, "account") if obj is not None else shown

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changes = form.changes((*services.CHANGEABLE, "event_types")) | form.security()
        if change and changes:
            services.change_subscription(
                subscription=Subscription.objects.get(pk=obj.pk),
                keep_credentials=form.kept(),
                **changes,
            )
        if change:
            return
        taken_elsewhere = {*SECURITY, "keep_credentials"}
        given = {
            name: value for name, value in form.cleaned_data.items() if name not in taken_elsewhere
        }
        made = create_with_setup(**given, **form.security())
        obj.__dict__.update(made.subscription.__dict__)
        self.show_after_add(request, ShownOnce("Signing secret", made.secret, HINT))

    @button(
        "Verify",
        icon="fact_check",
        variant="primary",
        question="Its set-up runs again, with a test delivery. A draft is active once that "
        "succeeded.",
        is_possible=lambda subscription: (
            subscription.status not in (Status.EXPIRED, Status.ARCHIVED)
        ),
    )
    def verify(self, subscription: Subscription) -> str:
        request_setup(subscription=subscription)
        return "Its set-up runs; look again in a moment."

    @button(
        "Activate unverified",
        icon="bolt",
        variant="warning",
        question="It becomes active although its set-up has not succeeded.",
        is_possible=lambda subscription: subscription.status in (Status.DRAFT, Status.VERIFYING),
    )
    def activate(self, subscription: Subscription) -> str:
        activate_subscription(subscription=subscription, skip_verification=True)
        return "It is active, and was not verified."

    @button(
        "Renew",
        icon="event_repeat",
        question="It gets a new end. An expired one is active again.",
        is_possible=lambda subscription: subscription.status != Status.ARCHIVED,
        form=RenewForm,
    )
    def renew(self, subscription: Subscription, expires_at: datetime | None) -> str:
        renew_subscription(subscription=subscription, expires_at=expires_at)
        return f"It ends at {moment(expires_at)}." if expires_at else "It does not end."

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
        "Disable",
        icon="block",
        question="Its deliveries are held until somebody resumes it.",
        is_possible=lambda subscription: allows(subscription.status, Status.DISABLED),
        form=ReasonForm,
    )
    def disable(self, subscription: Subscription, reason: str) -> str:
        services.set_status(subscription=subscription, status=Status.DISABLED, reason=reason)
        return "It is disabled; its deliveries are held."

    @button(
        "Rotate secret",
        icon="key",
        question="Deliveries are signed with a new secret from now on, and with the old ones of "
        "its kind too for a while. The new one is shown once.",
        is_possible=lambda subscription: subscription.status != Status.ARCHIVED,
        form=RotationForm,
    )
    def rotate_secret(
        self,
        subscription: Subscription,
        kind: SigningSecret.Kind,
        grace_hours: int,
        replaces_all: bool,
    ) -> ShownOnce:
        made = services.rotate_secret(
            subscription=subscription,
            kind=kind,
            grace=timedelta(seconds=grace_hours * HOUR_SECONDS),
            replaces_all=replaces_all,
        )
        if made.public_key:
            hint = f"The receiver verifies with the public key {made.public_key}, which is also at "
            return ShownOnce("New signing key", made.secret, hint + keys_url(subscription.pk))
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

    @column("Breaker")
    def breaker_label(self, subscription: Subscription) -> str:
        return label(subscription.get_breaker_display().lower(), BREAKER_COLOURS)

    @column("Certificate ends", ordering="certificate_expires_at")
    def certificate_ends(self, subscription: Subscription) -> str:
        end = moment(subscription.certificate_expires_at)
        if not is_stale(subscription, clock.now()):
            return end
        seen = seen_at(subscription)
        since = f"since {moment(seen)}" if seen else f"for more than {STALE_DAYS} days"
        return f"{end}, not seen {since}"

    @column("Hears")
    def hears(self, subscription: Subscription) -> str:
        names = subscription.event_types
        return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
