"""How well endpoints and sources do."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from webhooks_project.lib.ids import new_id


class HealthCheck(models.Model):
    """The health of one subscription's endpoint, or of one source, as it was last judged.

    `figures` are those it was judged by, `reasons` say in words why it is not healthy.
    """

    class State(models.TextChoices):
        HEALTHY = "healthy"
        DEGRADED = "degraded"
        FAILING = "failing"
        DOWN = "down"
        UNKNOWN = "unknown"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    subscription = models.OneToOneField(
        "subscriptions.Subscription", models.CASCADE, null=True, related_name="health_check"
    )
    source = models.OneToOneField(
        "incoming.Source", models.CASCADE, null=True, related_name="health_check"
    )
    state = models.CharField(max_length=16, choices=State.choices, default=State.UNKNOWN)
    state_since = models.DateTimeField()
    # The state that the last figures ask for, and since when they do: it is taken once that has
    # held for long enough.
    wanted_state = models.CharField(max_length=16, choices=State.choices, default=State.UNKNOWN)
    wanted_since = models.DateTimeField()
    reasons = models.JSONField(default=list)
    figures = models.JSONField(default=dict)
    # Of a source: what its history taught of its silences (monitoring/usual.py), and when.
    profile = models.JSONField(null=True)
    learned_at = models.DateTimeField(null=True)
    judged_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-state_since"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(subscription__isnull=True) ^ Q(source__isnull=True),
                name="health_check_of_one",
            ),
        ]
        indexes: ClassVar = [
            # The account's endpoints and sources by state.
            models.Index(fields=["account", "state"], name="health_check_by_account"),
            # The account's list, what changed last first.
            models.Index(fields=["account", "-state_since"], name="health_check_by_change"),
            # The console's list over all accounts.
            models.Index(fields=["-state_since"], name="health_check_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.state} since {self.state_since:%Y-%m-%d %H:%M}"


class HealthPolicy(models.Model):
    """What an account calls degraded, failing and down, and when its endpoints were last judged.

    `thresholds` are those that differ from the defaults (monitoring/thresholds.py), by name. That
    an account has the row says that it was given the default alert rules, too.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.OneToOneField("accounts.Account", models.CASCADE, related_name="health_policy")
    thresholds = models.JSONField(default=dict, blank=True)
    # Each account is judged by one process at a time, by whoever moves this on.
    judged_at = models.DateTimeField(null=True, editable=False)
    # When the account, being the platform's own, was given the rules about the hub.
    hub_rules_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "health policies"
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The accounts that are to be judged next.
            models.Index(fields=["judged_at"], name="health_policy_by_judged"),
        ]

    def __str__(self) -> str:
        return f"health policy of {self.account}"
