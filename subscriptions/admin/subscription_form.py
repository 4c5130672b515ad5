"""The form of a subscription."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django import forms

from subscriptions import services
from subscriptions.acceptable import (
    MAX_BATCH,
    MAX_BATCH_SECONDS,
    MAX_CHECK_MINUTES,
    MAX_IN_FLIGHT,
    MAX_RATE,
    MAX_RETRY_AGE_SECONDS,
)
from subscriptions.admin.security import SecurityForm
from subscriptions.models import Subscription
from webhooks_project.admin.forms import (
    Checkbox,
    HeadersField,
    JsonField,
    LinesField,
    NumberInput,
    Select,
    Textarea,
)

POLICIES: Final = (
    ("standard", "standard: 7 retries in 27 hours"),
    ("quick", "quick: 5 retries in 22 minutes"),
    ("patient", "patient: 11 retries in a week"),
    ("none", "none: one attempt"),
    ("custom", "custom: the schedule below"),
)
ORDERINGS: Final = (
    ("none", "none"),
    ("strict", "strict: one at a time for each key, a failing one keeps its key back"),
)
# Fields in groups; those in one tuple stand side by side.
GROUPS: Final[tuple[tuple[str, tuple[Any, ...]], ...]] = (
    ("What it hears", ("event_types", "channels", "filter")),
    ("What is sent", ("payload_form", "transformation", "variables", "schema_versions")),
    (
        "Limits",
        (
            ("timeout_seconds", "max_in_flight"),
            ("rate_limit", "rate_period"),
            ("ordering", "order_key"),
            ("batch_size", "batch_seconds"),
            "delivery_window",
        ),
    ),
    ("Retries", ("retry_policy", "retry_schedule", "retry_max_age_seconds", "retry_statuses")),
    ("Life", ("expires_at", "checks_health", ("health_check_kind", "health_check_minutes"))),
    ("Notes", ("description", "labels", "metadata")),
)


def _number(lowest: int, highest: int, help_text: str, **more: Any) -> forms.IntegerField:
    return forms.IntegerField(
        min_value=lowest, max_value=highest, widget=NumberInput, help_text=help_text, **more
    )


class SubscriptionForm(SecurityForm):
    event_types = LinesField(
        widget=Textarea(attrs={"rows": 4}),
        help_text="One a line: invoice.paid, invoice.* or *.",
    )
    channels = LinesField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="One a line; only events of one of these. None for all.",
    )
    filter = JsonField(
        required=False,
        widget=Textarea(attrs={"rows": 4, "class": "hub-input"}),
        help_text='Which events, by their content, such as {"data.amount": {"$gte": 100}}; its '
        "paths start at data, type, channels, headers or metadata. Empty for all.",
    )
    variables = HeadersField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="Name: value, one a line; $variables.name in the transformation.",
    )
    schema_versions = JsonField(
        empty={},
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text='Event types with the major version to stay with, such as {"order.made": 1}; '
        "the latest of all others.",
    )
    timeout_seconds = _number(
        1, 60, "The deadline of one attempt, everything included: 1 to 60 seconds.", initial=15
    )
    max_in_flight = _number(
        1,
        MAX_IN_FLIGHT,
        "How many attempts are under way at once, over all workers; empty for the hub's own share.",
        required=False,
    )
    rate_limit = _number(
        1, MAX_RATE, "Attempts in each period at most; empty for no limit.", required=False
    )
    batch_size = _number(1, MAX_BATCH, "Events in one POST at most; 1 for a POST each.", initial=1)
    batch_seconds = _number(0, MAX_BATCH_SECONDS, "How long a batch waits to be full.", initial=0)
    delivery_window = JsonField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text='When to deliver, such as {"days": ["mon", "fri"], "from": "08:00", "until": '
        '"18:00", "time_zone": "Europe/Berlin"}; empty for always.',
    )
    ordering = forms.ChoiceField(choices=ORDERINGS, widget=Select)
    retry_policy = forms.ChoiceField(choices=POLICIES, widget=Select)
    retry_schedule = JsonField(
        empty=[],
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="Of a custom policy: seconds to each next attempt, such as [60, 600], or "
        '{"kind": "exponential", "base": 5, "factor": 2, "cap": 3600, "attempts": 10}, or '
        '{"kind": "linear", "base": 60, "step": 60, "attempts": 10}.',
    )
    retry_max_age_seconds = _number(
        1,
        MAX_RETRY_AGE_SECONDS,
        "No attempt is planned for later than this after the delivery was asked for; empty for no "
        "limit.",
        required=False,
    )
    health_check_minutes = _number(
        1, MAX_CHECK_MINUTES, "How often: every so many minutes.", initial=15
    )
    labels = HeadersField(
        required=False,
        widget=Textarea(attrs={"rows": 2}),
        help_text="Name: value, one a line; to find and change many at once.",
    )
    metadata = HeadersField(
        required=False, widget=Textarea(attrs={"rows": 2}), help_text="Name: value, one a line."
    )

    activate = forms.BooleanField(
        required=False,
        initial=True,
        widget=Checkbox,
        help_text="It is verified by a test delivery and active once that succeeded; else a draft.",
    )

    error_fields: ClassVar = {
        "endpoint_not_acceptable": "url",
        "event_type_malformed": "event_types",
    }

    class Meta:
        model = Subscription
        fields = ("account", *services.CHANGEABLE, "expires_at")
        labels: ClassVar = {"url": "URL", "checks_health": "Checks health"}
        widgets: ClassVar = {
            "description": Textarea(attrs={"rows": 2}),
            "transformation": Textarea(attrs={"rows": 4, "class": "hub-input"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding and "event_types" in self.fields:
            self.initial["event_types"] = self.instance.event_types
