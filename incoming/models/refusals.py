"""How much was refused."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from incoming.models.sources import Source
from incoming.providers import Cause
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id


class RefusalCount(models.Model):
    """How many calls of a source were refused in one hour, by cause: exact, however many."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="refusals", db_index=False)
    hour = models.DateTimeField()
    cause = models.CharField(max_length=32, choices=Cause.choices)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering: ClassVar = ["-hour", "-count"]
        constraints: ClassVar = [
            # The row that a refusal adds to.
            models.UniqueConstraint(
                fields=["source", "hour", "cause"], name="refusal_unique_hour_and_cause"
            )
        ]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-hour"], name="refusal_by_account"),
            # Those of the last hours, of all accounts.
            models.Index(fields=["hour"], name="refusal_by_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.cause}"


class RefusalMinute(models.Model):
    """How many refused calls of a source were not kept as receipts in one minute, by cause.

    With the receipts that were kept they give every minute's refusals exactly.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    minute = models.DateTimeField()
    cause = models.CharField(max_length=32, choices=Cause.choices)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [
            # The row that a refusal adds to.
            models.UniqueConstraint(
                fields=["source", "minute", "cause"], name="refusal_unique_minute_and_cause"
            )
        ]
        indexes: ClassVar = [
            # The minutes that are counted.
            models.Index(fields=["minute"], name="refusal_by_minute"),
            # Those to prune.
            models.Index(fields=["account", "minute"], name="refusal_minute_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.count} × {self.cause}"
