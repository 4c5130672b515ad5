"""Jobs that process past receipts again."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from incoming.models.sources import Source
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id


class ReceiptReplay(models.Model):
    """A job that processes past receipts again: planned, run, its progress, its end."""

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, null=True, blank=True, related_name="+")
    # What is replayed: receipts received in [since, until) with these marks; empty for any.
    since = models.DateTimeField()
    until = models.DateTimeField()
    source = models.ForeignKey(Source, models.CASCADE, null=True, blank=True, related_name="+")
    # No foreign key: where the receipt is gone the job has nothing to do, and not all to do.
    receipt_id = models.UUIDField(null=True, blank=True)
    type_pattern = models.CharField(max_length=255, blank=True)
    statuses = models.JSONField(default=list, blank=True)
    cause = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PLANNED)
    planned_count = models.PositiveIntegerField(default=0)
    replayed_count = models.PositiveIntegerField(default=0)
    # Counts of the plan by source and type, the oldest receipt.
    plan = models.JSONField(default=dict, blank=True)
    # How far it has come; a run that was cut off goes on from here.
    cursor_at = models.DateTimeField(null=True, blank=True)
    cursor_id = models.UUIDField(null=True, blank=True)
    error = models.TextField(blank=True)
    requested_by = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The jobs to be moved on; holds only those.
            models.Index(
                fields=["created_at"],
                condition=Q(status="running"),
                name="receipt_replay_running",
            ),
        ]

    def __str__(self) -> str:
        return f"receipt replay {self.id}"
