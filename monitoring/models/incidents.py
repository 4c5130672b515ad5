"""Open problems: the rules that they are opened by, and what became of them."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from webhooks_project.lib.ids import new_id


class Severity(models.TextChoices):
    WARNING = "warning"
    CRITICAL = "critical"


class AlertRule(models.Model):
    """When an account has a problem, and through which channels its people are told.

    `threshold` is in the unit of the kind (monitoring/rules.py). The problem must be seen for
    `opens_after_seconds` before an incident is opened, and not be seen for `resolves_after_seconds`
    before it is resolved.
    """

    class Kind(models.TextChoices):
        ENDPOINT_FAILING = "endpoint_failing"
        DEAD_LETTERS_RISING = "dead_letters_rising"
        BACKLOG_OLD = "backlog_old"
        BACKLOG_NOT_SHRINKING = "backlog_not_shrinking"
        LATENCY_ABOVE = "latency_above"
        OBJECTIVE_MISSED = "objective_missed"
        SOURCE_SILENT = "source_silent"
        SIGNATURE_FAILURES_RISING = "signature_failures_rising"
        EXPIRING = "expiring"
        SETUP_WRONG = "setup_wrong"
        QUEUE_NOT_DRAINED = "queue_not_drained"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey("accounts.Account", models.CASCADE, related_name="alert_rules")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    severity = models.CharField(max_length=16, choices=Severity.choices, default=Severity.WARNING)
    # Only this one; where both are null, every one of the account.
    subscription = models.ForeignKey(
        "subscriptions.Subscription", models.CASCADE, null=True, blank=True, related_name="+"
    )
    source = models.ForeignKey(
        "incoming.Source", models.CASCADE, null=True, blank=True, related_name="+"
    )
    threshold = models.FloatField()
    window_seconds = models.PositiveIntegerField(default=300)
    # A count must be so many times what is usual, too; null where the threshold alone decides.
    rise_factor = models.FloatField(null=True, blank=True)
    opens_after_seconds = models.PositiveIntegerField(default=60)
    resolves_after_seconds = models.PositiveIntegerField(default=300)
    channels = models.ManyToManyField("monitoring.Channel", blank=True, related_name="alert_rules")
    # Who is told besides when nobody has acknowledged it for so long; null for never.
    escalates_after_seconds = models.PositiveIntegerField(null=True, blank=True)
    escalation_channels = models.ManyToManyField(
        "monitoring.Channel", blank=True, related_name="escalating_rules"
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "name"], name="alert_rule_unique_name"),
            models.CheckConstraint(
                condition=Q(subscription__isnull=True) | Q(source__isnull=True),
                name="alert_rule_of_one",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Incident(models.Model):
    """An open problem with one endpoint, source or queue: opened, acknowledged, resolved.

    `key` names what is wrong with what: whatever sees the same belongs to the same incident for as
    long as it is open. `rules` are those that have seen it, `rule` the one that leads: the first of
    the most severe.
    """

    class Status(models.TextChoices):
        OPEN = "open"
        ACKNOWLEDGED = "acknowledged"
        RESOLVED = "resolved"

    class Resolution(models.TextChoices):
        RECOVERED = "recovered"
        PERSON = "person"
        GONE = "gone"  # its rule, endpoint or source is no more, not active, or not known

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="incidents", db_index=False
    )
    rule = models.ForeignKey(AlertRule, models.SET_NULL, null=True, related_name="incidents")
    rules = models.ManyToManyField(AlertRule, related_name="held_incidents")
    kind = models.CharField(max_length=32, choices=AlertRule.Kind.choices)
    severity = models.CharField(max_length=16, choices=Severity.choices)
    key = models.CharField(max_length=200)
    subscription = models.ForeignKey(
        "subscriptions.Subscription", models.CASCADE, null=True, related_name="incidents"
    )
    source = models.ForeignKey(
        "incoming.Source", models.CASCADE, null=True, related_name="incidents"
    )
    cause = models.CharField(max_length=32, blank=True)
    title = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    figures = models.JSONField(default=dict)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    well_since = models.DateTimeField(null=True)  # since when the problem is not seen any more
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=200, blank=True)
    raised_at = models.DateTimeField(null=True)  # when a more severe rule made it its own
    escalated_at = models.DateTimeField(null=True)
    # How often it was raised or people were reminded: what they are told anew is of another round.
    round = models.PositiveIntegerField(default=0)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=200, blank=True)
    resolution = models.CharField(max_length=16, choices=Resolution.choices, blank=True)
    # How often the problem came back, while this or the one before was recovering or soon after:
    # with each time it must stay away for longer before it is resolved.
    relapse_count = models.PositiveIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-opened_at"]
        constraints: ClassVar = [
            # One problem is one incident.
            models.UniqueConstraint(
                fields=["account", "key"],
                condition=~Q(status="resolved"),
                name="incident_unique_while_open",
            ),
        ]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-opened_at"], name="incident_by_account"),
            # The console's list over all accounts.
            models.Index(fields=["-opened_at"], name="incident_by_time"),
            # What recovered lately, and may come back.
            models.Index(
                fields=["account", "resolved_at"],
                condition=Q(resolution="recovered"),
                name="incident_recovered",
            ),
            # What is old enough to be pruned.
            models.Index(
                fields=["resolved_at"], condition=Q(status="resolved"), name="incident_by_end"
            ),
            # What is open, newest first, over all accounts.
            models.Index(
                fields=["-opened_at"], condition=~Q(status="resolved"), name="incident_open"
            ),
        ]

    def __str__(self) -> str:
        return self.title


class Sighting(models.Model):
    """A problem that a rule sees without a part in an open incident: not for long enough yet, or
    because a person wants no more of it for a while."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    key = models.CharField(max_length=200)
    seen_since = models.DateTimeField(null=True)
    last_seen_at = models.DateTimeField(null=True)
    quiet_until = models.DateTimeField(null=True)

    class Meta:
        constraints: ClassVar = [
            # One problem is one sighting; also the account's.
            models.UniqueConstraint(fields=["account", "key"], name="sighting_unique"),
        ]

    def __str__(self) -> str:
        return self.key


class IncidentEntry(models.Model):
    """A line of an incident's timeline."""

    class Kind(models.TextChoices):
        OPENED = "opened"
        JOINED = "joined"  # a further rule sees it
        CHANGED = "changed"
        TOLD = "told"
        ACKNOWLEDGED = "acknowledged"
        ESCALATED = "escalated"
        COMMENTED = "commented"
        RECOVERING = "recovering"
        RELAPSED = "relapsed"
        RESOLVED = "resolved"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="entries", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    text = models.CharField(max_length=1000)
    actor_label = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "incident entries"
        ordering: ClassVar = ["created_at", "id"]
        indexes: ClassVar = [
            # An incident's timeline.
            models.Index(fields=["incident", "created_at"], name="incident_entry_by_incident"),
        ]

    def __str__(self) -> str:
        return self.text
