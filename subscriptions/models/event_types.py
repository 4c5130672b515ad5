"""What can be heard of: the catalogue's entries and their schemas."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id


class EventType(models.Model):
    """A catalogue entry such as `invoice.paid`."""

    class SchemaMode(models.TextChoices):
        """What happens to an event that does not fit its schema."""

        OFF = "off"
        WARN = "warn"
        REJECT = "reject"
        QUARANTINE = "quarantine"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="event_types")
    name = models.CharField(max_length=128)
    description = models.TextField(blank=True)
    group = models.CharField(max_length=64, blank=True, help_text="A heading of the catalogue.")
    owner = models.CharField(
        max_length=200, blank=True, help_text="The team or person who answers for it."
    )
    is_public = models.BooleanField(default=True, help_text="Whether the catalogue page shows it.")
    schema_mode = models.CharField(
        max_length=16,
        choices=SchemaMode.choices,
        default=SchemaMode.REJECT,
        help_text="What happens to an event that does not fit its schema.",
    )
    deprecated_at = models.DateTimeField(null=True, blank=True, editable=False)
    successor = models.ForeignKey(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="predecessors",
        help_text="The type to use in place of a deprecated one.",
    )
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="event_type_unique_name")
        ]

    def __str__(self) -> str:
        return self.name


class EventSchema(models.Model):
    """One version of an event type's JSON Schema (draft 2020-12), with examples.

    `major` rises with a change that breaks readers, `minor` with any other; `version` counts them
    all. `downgrade` is a JSONata expression that makes this version's data into the data of the
    major version before it, for subscriptions that stay with that; empty where there is none.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event_type = models.ForeignKey(EventType, models.CASCADE, related_name="schemas")
    version = models.PositiveIntegerField()
    major = models.PositiveIntegerField(default=1)
    minor = models.PositiveIntegerField(default=0)
    schema = models.JSONField()
    examples = models.JSONField(default=list, blank=True)
    downgrade = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-version"]
        constraints: ClassVar = [
            # Also the lookup of the latest version.
            models.UniqueConstraint(
                fields=["event_type", "version"], name="event_schema_unique_version"
            ),
            models.UniqueConstraint(
                fields=["event_type", "major", "minor"], name="event_schema_unique_number"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} v{self.number}"

    @property
    def number(self) -> str:
        """`major.minor`, as people and events name it."""
        return f"{self.major}.{self.minor}"
