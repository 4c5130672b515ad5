"""What handlers have to do about a receipt."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from incoming.models.receipts import Receipt
from incoming.models.sources import Source
from incoming.querysets import HandlerRunQuerySet
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id


class HandlerRun(models.Model):
    """The duty of one handler to one receipt, with its tries: succeeded in the end, or dead."""

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"  # and tried again
        DEAD = "dead"  # until a person takes it up

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="+", db_index=False)
    receipt = models.ForeignKey(Receipt, models.CASCADE, related_name="runs", db_index=False)
    handler = models.CharField(max_length=255)
    # The receipt's round: a replay runs its handlers anew.
    round = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    leased_until = models.DateTimeField(null=True)
    # Of the last try. `error` is its traceback.
    worker = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField(null=True)
    duration_ms = models.PositiveIntegerField(null=True)
    cause = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = HandlerRunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            # A handler has one run for a receipt and round; also the receipt's list.
            models.UniqueConstraint(
                fields=["receipt", "round", "handler"], name="run_unique_per_handler"
            )
        ]
        indexes: ClassVar = [
            # The claim of runs that are due; holds only what waits.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="run_due",
            ),
            # The sweep of leases that ran out.
            models.Index(
                fields=["leased_until"],
                condition=Q(leased_until__isnull=False),
                name="run_leased",
            ),
            # The account's list by state, newest first.
            models.Index(fields=["account", "status", "-created_at"], name="run_by_account"),
            # The next of each handler.
            models.Index(
                fields=["handler", "next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="run_due_by_handler",
            ),
            # How much of a source is due: a replay of its receipts waits for that.
            models.Index(
                fields=["source", "next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="run_due_by_source",
            ),
            # A handler's list by state, newest first.
            models.Index(fields=["handler", "status", "-created_at"], name="run_by_handler"),
            # The console's list by state, newest first.
            models.Index(fields=["status", "-created_at"], name="run_by_status"),
            # The console's list over all accounts.
            models.Index(fields=["-created_at"], name="run_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.handler} for {self.receipt_id}"
