"""Telling people: the ways to them, and what is queued for them."""

from __future__ import annotations

from typing import ClassVar, Final

from django.db import models
from django.db.models import Q

from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id

MAIL: Final = "mail"  # the way of everything that goes to the mail server
# How the errors begin of tries that may have arrived: nobody heard how they ended.
UNANSWERED: Final = ("answer_timeout", "TryNeverEnded")


class Channel(models.Model):
    """A way to an account's people: whom or what it reaches, and when it may.

    `secret` is what must not be read of the address: the URL of a chat's webhook, a routing key.
    `host` is where a message goes, which is no secret: where a host is away, what goes to others
    still goes.
    """

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        SLACK = "slack", "Slack"
        TEAMS = "teams", "Microsoft Teams"
        PAGERDUTY = "pagerduty", "PagerDuty"
        WEBHOOK = "webhook", "Webhook"  # an event of the account, for whoever subscribes to it

    class Region(models.TextChoices):
        US = "us", "US"
        EU = "eu", "EU"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="channels")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    # Of an e-mail: addresses, and roles, whose members are meant.
    recipients = models.JSONField(default=list, blank=True)
    secret = EncryptedTextField(blank=True)
    region = models.CharField(max_length=2, choices=Region.choices, default=Region.US)
    host = models.CharField(max_length=255, blank=True, editable=False)
    # At most so many messages an hour; those over it become one that says how many.
    hourly_limit = models.PositiveSmallIntegerField(default=30)
    # From and to, in the channel's time zone; what is not critical waits for their end.
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    enabled = models.BooleanField(default=True)
    # The other side asked to be left alone until then (Retry-After).
    waits_until = models.DateTimeField(null=True, blank=True, editable=False)
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
    """A message to one person or place about something, queued, with its channel and outcome.

    `recipient` is the address of a mail, and empty where the channel itself is meant. `target`
    names to whom one of an incident goes, also once the channel is deleted: the channel's key, or
    the role that is meant where a rule has no channels. `host` is what it goes through.
    """

    class Moment(models.TextChoices):
        """What of an incident is told."""

        OPENED = "opened"
        RAISED = "raised"  # it has become more severe
        REMINDED = "reminded"  # what it tells of is nearer
        ESCALATED = "escalated"
        ACKNOWLEDGED = "acknowledged"
        RESOLVED = "resolved"

    class Status(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        FAILED = "failed"
        COMBINED = "combined"  # told as a part of another message: `combined_in`
        WITHDRAWN = "withdrawn"  # not true or not wanted any more when its time came

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="+")
    kind = models.CharField(max_length=64)
    via = models.CharField(max_length=16, choices=Channel.Kind.choices, default=Channel.Kind.EMAIL)
    channel = models.ForeignKey(
        Channel, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    host = models.CharField(max_length=255, default=MAIL)
    recipient = models.CharField(max_length=254, blank=True)
    incident = models.ForeignKey(
        "monitoring.Incident", models.CASCADE, null=True, blank=True, related_name="+",
        db_index=False,
    )  # fmt: skip
    moment = models.CharField(max_length=16, choices=Moment.choices, blank=True)
    # The incident's, of a moment that comes more than once; else 0.
    round = models.PositiveIntegerField(default=0)
    target = models.CharField(max_length=64, blank=True)
    title = models.CharField(max_length=200)
    text = models.TextField()
    object_type = models.CharField(max_length=64, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    combined_in = models.ForeignKey(
        "self", models.SET_NULL, null=True, blank=True, related_name="parts", db_index=False
    )
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    # When it came under the hourly limit of its target and was let through.
    admitted_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "notification-queue"
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            # Nobody is told the same of an incident twice; also what was told of it.
            models.UniqueConstraint(
                fields=["incident", "target", "moment", "recipient", "round"],
                condition=Q(incident__isnull=False),
                name="notification_once",
            ),
        ]
        indexes: ClassVar = [
            # Whether anything waits to be sent; holds only that.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="notification_due",
            ),
            # What waits of one account for one host, the longest waiting first.
            models.Index(
                fields=["via", "host", "account", "next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="notification_by_turn",
            ),
            # How many messages a target got in the last hour.
            models.Index(
                fields=["account", "target", "recipient", "admitted_at"],
                condition=Q(admitted_at__isnull=False),
                name="notification_by_target",
            ),
            # What a message stands for.
            models.Index(
                fields=["combined_in"],
                condition=Q(combined_in__isnull=False),
                name="notification_by_whole",
            ),
            # What went through a channel, newest first.
            models.Index(fields=["channel", "-created_at"], name="notification_by_channel"),
            # The account's list, newest first.
            models.Index(fields=["account", "-created_at"], name="notification_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="notification_by_time"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def may_have_come(self) -> bool:
        """Whether the last try may have arrived: it was cut off, or nobody answered."""
        return not self.error or self.error.startswith(UNANSWERED)

    @property
    def told_to(self) -> str:
        """Whom it is for, in a word: an address, else the channel."""
        return self.recipient or str(self.channel or self.get_via_display())


# What comes with each round of an incident anew.
REPEATED: Final = (Notification.Moment.REMINDED, Notification.Moment.ESCALATED)
# What tells of an incident that is open.
TELLING: Final = (
    Notification.Moment.OPENED,
    Notification.Moment.RAISED,
    Notification.Moment.REMINDED,
    Notification.Moment.ESCALATED,
)
