"""What is wrong with how subscriptions and sources are set up."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from webhooks_project.lib.ids import new_id


class Finding(models.Model):
    """Something that keeps a subscription or a source from its work, until it is mended.

    Without either it is about the account.
    """

    class Kind(models.TextChoices):
        EXPIRED = "expired"
        UNVERIFIABLE = "unverifiable"
        SETUP_FAILING = "setup_failing"
        SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - a kind's name
        NO_VALID_SECRET = "no_valid_secret"  # noqa: S105 - a kind's name
        NEVER_DELIVERED = "never_delivered"
        NEVER_RECEIVED = "never_received"
        TYPE_GONE = "type_gone"
        TYPE_DEPRECATED = "type_deprecated"
        SCHEMA_VERSION_GONE = "schema_version_gone"
        FILTER_BROKEN = "filter_broken"
        TRANSFORMATION_BROKEN = "transformation_broken"
        NO_ADMIN = "no_admin"
        PROVIDER_UNKNOWN = "provider_unknown"
        NO_ROUTE = "no_route"
        HANDLER_UNKNOWN = "handler_unknown"
        ORPHANED = "orphaned"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    subscription = models.ForeignKey(
        "subscriptions.Subscription",
        models.CASCADE,
        null=True,
        related_name="findings",
        db_index=False,
    )
    source = models.ForeignKey(
        "incoming.Source", models.CASCADE, null=True, related_name="findings", db_index=False
    )
    kind = models.CharField(max_length=32, choices=Kind.choices)
    text = models.CharField(max_length=500)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-first_seen_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(subscription__isnull=True) | Q(source__isnull=True),
                name="finding_about_one",
            ),
            # Two nodes that look at once find the same once; also what is open of one row.
            models.UniqueConstraint(
                fields=["account", "kind"],
                condition=Q(
                    resolved_at__isnull=True, subscription__isnull=True, source__isnull=True
                ),
                name="finding_open_of_account",
            ),
            models.UniqueConstraint(
                fields=["subscription", "kind"],
                condition=Q(resolved_at__isnull=True, subscription__isnull=False),
                name="finding_open_of_subscription",
            ),
            models.UniqueConstraint(
                fields=["source", "kind"],
                condition=Q(resolved_at__isnull=True, source__isnull=False),
                name="finding_open_of_source",
            ),
        ]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-first_seen_at"], name="finding_by_account"),
            # What accounts' rules see.
            models.Index(
                fields=["account"], condition=Q(resolved_at__isnull=True), name="finding_open"
            ),
            # The console's list over all accounts.
            models.Index(fields=["-first_seen_at"], name="finding_by_time"),
            # What was mended long ago, for pruning.
            models.Index(
                fields=["resolved_at"],
                condition=Q(resolved_at__isnull=False),
                name="finding_resolved",
            ),
            # Deleting a subscription or a source takes what was found of it along.
            models.Index(fields=["subscription"], name="finding_of_subscription"),
            models.Index(fields=["source"], name="finding_of_source"),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"
