"""Jobs that carry past events again."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id


class Replay(models.Model):
    """A job that carries past events again: planned, run, its progress, its end."""

    class Kind(models.TextChoices):
        RECOVER = "recover"  # what was given up
        MISSING = "missing"  # what a subscription never got, and matches now
        REPLAY = "replay"  # whatever ended, delivered or not

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        Account, models.CASCADE, null=True, blank=True, related_name="replays"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.REPLAY)
    # Events created in [since, until) with these marks; empty for any.
    since = models.DateTimeField()
    until = models.DateTimeField()
    event_type = models.CharField(max_length=128, blank=True)
    subscription = models.ForeignKey(
        Subscription, models.CASCADE, null=True, blank=True, related_name="replays"
    )
    statuses = models.JSONField(default=list, blank=True)
    channel = models.CharField(max_length=128, blank=True)
    filter = models.JSONField(null=True, blank=True)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PLANNED)
    # Of one that is running: nothing more is put in line until it is resumed.
    paused_at = models.DateTimeField(null=True, blank=True)
    planned_count = models.PositiveIntegerField(default=0)
    redelivered_count = models.PositiveIntegerField(default=0)
    # Counts of the plan by type and subscription, the oldest event, how long it may take.
    plan = models.JSONField(default=dict, blank=True)
    # How far it has come; a run that was cut off goes on from here.
    cursor_at = models.DateTimeField(null=True, blank=True, editable=False)
    cursor_id = models.UUIDField(null=True, blank=True, editable=False)
    # Subscriptions that take less than there is for them: how far each has come, [time, id], or
    # null from the start. The job goes on without them.
    lagging = models.JSONField(default=dict, blank=True, editable=False)
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
                name="replay_running",
            ),
        ]

    def __str__(self) -> str:
        return f"replay {self.id}"
