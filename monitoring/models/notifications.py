"""Telling people: the ways to them, and what is queued for them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id


class Channel(models.Model):
    """A way to an account's people: whom or what it reaches, and when it may.

    `secret` is what must not be read of the address: the URL of a chat's webhook, a routing key.
    """

    class Kind(models.TextChoices):
        EMAIL = "email"
        SLACK = "slack"
        TEAMS = "teams"
        PAGERDUTY = "pagerduty"
        WEBHOOK = "webhook"  # an event of the account, for whoever subscribes to it

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="channels")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    # Of an e-mail: addresses, and roles, whose members are meant.
    recipients = models.JSONField(default=list, blank=True)
    secret = EncryptedTextField(blank=True)
    # At most so many messages an hour; those over it become one that says how many.
    hourly_limit = models.PositiveSmallIntegerField(default=30)
    # From and to, in the channel's time zone; what is not critical waits for their end.
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    tested_at = models.DateTimeField(null=True, blank=True, editable=False)
    test_error = models.CharField(max_length=500, blank=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="channel_unique_name"),
        ]

    def __str__(self) -> str:
        return self.name


class Notification(models.Model):
    """A message to one person about something, queued, with its channel and outcome."""

    class Channel(models.TextChoices):
        EMAIL = "email"

    class Status(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="+")
    kind = models.CharField(max_length=64)
    channel = models.CharField(max_length=16, choices=Channel.choices, default=Channel.EMAIL)
    recipient = models.CharField(max_length=254)
    title = models.CharField(max_length=200)
    text = models.TextField()
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notification-queue"
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # What waits to be sent; holds only that.
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(next_attempt_at__isnull=False),
                name="notification_due",
            ),
            # The account's list, newest first.
            models.Index(fields=["account", "-created_at"], name="notification_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="notification_by_time"),
        ]

    def __str__(self) -> str:
        return self.title
