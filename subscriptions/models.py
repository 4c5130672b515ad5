"""Who may hear what."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q

from subscriptions.querysets import SigningSecretQuerySet, SubscriptionQuerySet
from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id


class EventType(models.Model):
    """A catalogue entry such as `invoice.paid`."""

    class SchemaMode(models.TextChoices):
        OFF = "off"
        REJECT = "reject"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="event_types")
    name = models.CharField(max_length=128)
    description = models.TextField(blank=True)
    schema_mode = models.CharField(
        max_length=16,
        choices=SchemaMode.choices,
        default=SchemaMode.REJECT,
        help_text="What happens to an event that does not fit the latest schema.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="event_type_unique_name")
        ]

    def __str__(self) -> str:
        return self.name


class EventSchema(models.Model):
    """One version of an event type's JSON Schema (draft 2020-12), with examples."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event_type = models.ForeignKey(EventType, models.CASCADE, related_name="schemas")
    version = models.PositiveIntegerField()
    schema = models.JSONField()
    examples = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-version"]
        constraints: ClassVar = [
            # Also the lookup of the latest version.
            models.UniqueConstraint(
                fields=["event_type", "version"], name="event_schema_unique_version"
            )
        ]

    def __str__(self) -> str:
        return f"{self.event_type} v{self.version}"


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

    # Statuses whose deliveries are kept back until the subscription is active again.
    HOLDING: ClassVar = frozenset({Status.PAUSED, Status.DISABLED})

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="subscriptions")
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2048)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=200, blank=True)
    timeout_seconds = models.PositiveSmallIntegerField(
        default=15, help_text="The deadline of one attempt, everything included: 1 to 60 seconds."
    )
    max_in_flight = models.PositiveSmallIntegerField(
        default=16, help_text="How many attempts one delivery worker has under way at once."
    )
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    disabled_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = SubscriptionQuerySet.as_manager()

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
        ]

    def __str__(self) -> str:
        return self.name

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


class SigningSecret(models.Model):
    """A `whsec_` secret that deliveries are signed with; several while one is being rotated."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    subscription = models.ForeignKey(Subscription, models.CASCADE, related_name="secrets")
    secret = EncryptedTextField()
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = SigningSecretQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return f"secret of {self.subscription_id} from {self.created_at:%Y-%m-%d}"

    def is_valid(self, now: datetime) -> bool:
        return self.expires_at is None or self.expires_at > now
