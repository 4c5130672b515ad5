"""Where an account wants which events."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db import models
from django.db.models import Case, Q, Value, When

from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

BREAKER_FIELDS: Final = frozenset({"breaker", "breaker_changed_at"})


class Subscription(models.Model):
    """Where an account wants which events."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        VERIFYING = "verifying"
        ACTIVE = "active"
        PAUSED = "paused"
        DISABLED = "disabled"
        EXPIRED = "expired"
        ARCHIVED = "archived"

    class PayloadForm(models.TextChoices):
        """What the body of a delivery is."""

        STANDARD = "standard", "Standard Webhooks envelope"
        CLOUDEVENTS_STRUCTURED = "cloudevents_structured", "CloudEvents 1.0, structured"
        CLOUDEVENTS_BINARY = "cloudevents_binary", "CloudEvents 1.0, binary"
        RAW = "raw", "the data alone"
        THIN = "thin", "id and type only"

    class RatePeriod(models.TextChoices):
        SECOND = "second"
        MINUTE = "minute"
        HOUR = "hour"

    class Ordering(models.TextChoices):
        NONE = "none"
        STRICT = "strict"

    class RetryPolicy(models.TextChoices):
        """Named retry schedules; outgoing/policies.py has their times."""

        STANDARD = "standard"
        QUICK = "quick"
        PATIENT = "patient"
        NONE = "none"
        CUSTOM = "custom"

    class Breaker(models.TextChoices):
        """Whether its endpoint is let alone for failing too much: outgoing/breakers.py."""

        CLOSED = "closed"
        OPEN = "open"
        HALF_OPEN = "half_open"

    class HealthCheckKind(models.TextChoices):
        """How the hub looks whether the endpoint is there."""

        HEAD = "head", "HEAD: any whole answer counts"
        TLS = "tls", "connection and TLS only: nothing is sent"
        PROBE = "probe", "signed test delivery: a 2xx counts"

    # Statuses whose deliveries are kept back until the subscription is active again.
    HOLDING: ClassVar = frozenset({Status.VERIFYING, Status.PAUSED, Status.DISABLED})

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="subscriptions")
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2048)
    description = models.TextField(blank=True)
    metadata = models.JSONField(default=dict, blank=True, help_text="Your own facts: text by name.")
    labels = models.JSONField(
        default=dict, blank=True, help_text="Text by name, to find and change many at once."
    )

    # What it hears, beside its event types.
    channels = models.JSONField(
        default=list, blank=True, help_text="Only events of one of these channels; none for all."
    )
    filter = models.JSONField(null=True, blank=True, help_text="Which events, by their content.")

    # What is sent.
    payload_form = models.CharField(
        max_length=24, choices=PayloadForm.choices, default=PayloadForm.STANDARD
    )
    transformation = models.TextField(
        blank=True, help_text="JSONata over the event; what it gives is sent as the data."
    )
    variables = models.JSONField(
        default=dict,
        blank=True,
        help_text="Text by name, as $variables.name in the transformation.",
    )
    schema_versions = models.JSONField(
        default=dict,
        blank=True,
        help_text="Event types with the major version to stay with; the latest of all others.",
    )

    # How the endpoint knows us, and we it.
    signature_template = models.JSONField(
        null=True, blank=True, help_text="Another convention of signing; none for the standard."
    )
    custom_headers = EncryptedTextField(blank=True, default="", editable=False)
    authentication = EncryptedTextField(blank=True, default="", editable=False)
    client_certificate = models.TextField(blank=True)
    client_key = EncryptedTextField(blank=True, default="", editable=False)
    ca_certificates = models.TextField(blank=True)
    encryption_key = models.TextField(blank=True)

    # Limits.
    timeout_seconds = models.PositiveSmallIntegerField(
        default=15, help_text="The deadline of one attempt, everything included: 1 to 60 seconds."
    )
    max_in_flight = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="How many attempts are under way at once, over all workers; empty for the hub's "
        "own share.",
    )
    rate_limit = models.PositiveIntegerField(
        null=True, blank=True, help_text="Attempts in each period at most; empty for no limit."
    )
    rate_period = models.CharField(
        max_length=8, choices=RatePeriod.choices, default=RatePeriod.SECOND
    )
    ordering = models.CharField(max_length=8, choices=Ordering.choices, default=Ordering.NONE)
    order_key = models.CharField(
        max_length=256,
        blank=True,
        help_text="A path such as data.customer.id: one order for each value; empty for one in "
        "all.",
    )
    batch_size = models.PositiveSmallIntegerField(
        default=1, help_text="Events in one POST at most; 1 for a POST each."
    )
    batch_seconds = models.PositiveSmallIntegerField(
        default=0, help_text="How long a batch waits to be full."
    )
    retry_policy = models.CharField(
        max_length=16, choices=RetryPolicy.choices, default=RetryPolicy.STANDARD
    )
    retry_schedule = models.JSONField(
        default=list,
        blank=True,
        help_text="Of a custom policy: seconds to each next attempt, or an object that says how "
        "they grow.",
    )
    retry_max_age_seconds = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="No attempt is made later than this after the delivery was asked for; empty for "
        "no limit.",
    )
    retry_statuses = models.CharField(
        max_length=200,
        blank=True,
        help_text="Status codes that are retried, such as 500-599,429,!501; empty for all.",
    )
    delivery_window = models.JSONField(
        null=True, blank=True, help_text="When to deliver: days, from, until, time_zone."
    )

    # Whether its deliveries go by limits that hold over all workers: outgoing/flows.py.
    is_limited = models.BooleanField(default=False, editable=False)
    breaker = models.CharField(
        max_length=16, choices=Breaker.choices, default=Breaker.CLOSED, editable=False
    )
    breaker_changed_at = models.DateTimeField(null=True, editable=False)

    # Its life.
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=200, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    # What the steps of the last set-up found: [{"step", "outcome", "detail", "at"}].
    setup = models.JSONField(default=list, editable=False)
    # When the set-up is to run, or, while it runs, when it is to run again if that was cut off.
    setup_due_at = models.DateTimeField(null=True, editable=False)
    # What the endpoint has yet to echo before the subscription may be active.
    challenge = models.CharField(max_length=64, blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    # The days before the end that were announced last: 14, 3 or 1.
    expiry_noticed_days = models.PositiveSmallIntegerField(null=True, editable=False)
    # The first failed attempt since the last that succeeded, and the last one, to the hour.
    failing_since = models.DateTimeField(null=True, blank=True, editable=False)
    last_failed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The part of the time until it is disabled that was announced last: 50, 70 or 90; 0 where it
    # was announced before it was taken up again, and nothing succeeded since.
    failing_noticed_percent = models.PositiveSmallIntegerField(null=True, editable=False)
    # The failed attempt after which that was announced.
    failing_noticed_at = models.DateTimeField(null=True, editable=False)
    certificate_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    checks_health = models.BooleanField(
        default=True,
        help_text="Whether the hub may look now and then whether the endpoint is there.",
    )
    health_check_kind = models.CharField(
        max_length=8,
        choices=HealthCheckKind.choices,
        default=HealthCheckKind.HEAD,
        help_text="How it looks: a HEAD, the connection with its TLS alone, or a signed test "
        "delivery.",
    )
    health_check_minutes = models.PositiveSmallIntegerField(
        default=15, help_text="How often it looks: every so many minutes, from 1 to 1,440."
    )
    health_check_due_at = models.DateTimeField(default=clock.now, editable=False)
    health_checked_at = models.DateTimeField(null=True, editable=False)
    health_problem = models.CharField(max_length=200, blank=True, editable=False)
    # How many have failed one after the other, and the last one: its kind, status and times.
    health_check_failures = models.PositiveIntegerField(default=0, editable=False)
    health_check_result = models.JSONField(default=dict, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "webhooks.subscriptions"
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(timeout_seconds__gte=1, timeout_seconds__lte=60),
                name="subscription_timeout_1_to_60",
            ),
            models.CheckConstraint(
                condition=Q(max_in_flight__gte=1), name="subscription_max_in_flight_positive"
            ),
            models.CheckConstraint(
                condition=Q(rate_limit__gte=1), name="subscription_rate_limit_positive"
            ),
            models.CheckConstraint(
                condition=Q(batch_size__gte=1), name="subscription_batch_size_positive"
            ),
            models.CheckConstraint(
                condition=Q(retry_max_age_seconds__gte=1),
                name="subscription_retry_max_age_positive",
            ),
        ]
        indexes: ClassVar = [
            # Those whose deliveries have a flow of their own.
            models.Index(fields=["id"], condition=Q(is_limited=True), name="subscription_limited"),
            # Those that end one day, for notices and for the end itself.
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False),
                name="subscription_expiring",
            ),
            # Those that are to be looked at next.
            models.Index(
                fields=["health_check_due_at"],
                condition=Q(status="active", checks_health=True),
                name="subscription_health_due",
            ),
            # Those that fail at present, for warnings and for the end of patience.
            models.Index(
                fields=["failing_since"],
                condition=Q(failing_since__isnull=False),
                name="subscription_failing",
            ),
            # Set-ups that are to run.
            models.Index(
                fields=["setup_due_at"],
                condition=Q(setup_due_at__isnull=False),
                name="subscription_setup_due",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Store the row, and with it whether its deliveries go by limits.

        Its breaker is stored only where that is named: the engine may have moved it since the row
        was read, and while it is not closed the deliveries go by limits too.
        """
        has_limits = (
            self.max_in_flight is not None
            or self.rate_limit is not None
            or self.ordering == self.Ordering.STRICT
            or self.batch_size > 1
            or self.delivery_window is not None
        )
        fields = kwargs.get("update_fields")
        if fields is None and not self._state.adding:
            fields = {field.name for field in self._meta.concrete_fields if not field.primary_key}
            fields -= BREAKER_FIELDS
        is_limited = has_limits or self.breaker != self.Breaker.CLOSED
        self.is_limited = is_limited
        if fields is not None:
            kwargs["update_fields"] = {*fields, "is_limited"}
            if not BREAKER_FIELDS.intersection(fields):
                closed = When(breaker=self.Breaker.CLOSED, then=Value(has_limits))
                self.is_limited = Case(closed, default=Value(True))
        try:
            super().save(*args, **kwargs)
        finally:
            self.is_limited = is_limited

    @property
    def event_types(self) -> list[str]:
        """The names and wildcards it hears, in order."""
        return sorted(row.pattern for row in self.patterns.all())


class SubscribedType(models.Model):
    """One event type name or wildcard (`invoice.*`, `*`) that a subscription hears.

    Rows of their own, so that an event looks its few possible patterns up in an index instead of
    trying every subscription.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    subscription = models.ForeignKey(Subscription, models.CASCADE, related_name="patterns")
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    pattern = models.CharField(max_length=128)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subscription", "pattern"], name="subscribed_type_unique"
            )
        ]
        indexes: ClassVar = [
            # Matching an event: its type and the wildcards above it.
            models.Index(fields=["account", "pattern"], name="subscribed_type_lookup"),
        ]

    def __str__(self) -> str:
        return self.pattern
