"""Counts per period, rebuildable from the attempts."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webhooks_project.lib.ids import new_id


class Rollup(models.Model):
    """One minute of one subscription's attempts, by cause (empty: succeeded)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    subscription = models.ForeignKey(
        "subscriptions.Subscription", models.CASCADE, related_name="+", db_index=False
    )
    minute = models.DateTimeField()
    cause = models.CharField(max_length=32, blank=True)
    attempts = models.PositiveIntegerField()
    first_attempts = models.PositiveIntegerField()
    duration_ms_sum = models.FloatField()
    duration_ms_max = models.FloatField()

    class Meta:
        db_table = "webhooks.analytics"
        ordering: ClassVar = ["-minute"]
        constraints: ClassVar = [
            # A minute is counted once; also a subscription's series.
            models.UniqueConstraint(
                fields=["subscription", "minute", "cause"], name="rollup_unique_minute"
            )
        ]
        indexes: ClassVar = [
            # The account's series, newest first.
            models.Index(fields=["account", "-minute"], name="rollup_by_account"),
            # The minutes that are counted again.
            models.Index(fields=["minute"], name="rollup_by_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.cause or 'succeeded'}"
