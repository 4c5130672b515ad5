"""Jobs over many subscriptions, and their lines."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from webhooks_project.accounts.models import Account
from webhooks_project.fields import EncryptedTextField
from webhooks_project.lib.ids import new_id


class BulkJob(models.Model):
    """Something done to many subscriptions of an account: planned, run, its progress, its end.

    A dry run takes every line as if it were meant and takes it back; then the job is planned, and
    starting it does the same lines.
    """

    class Action(models.TextChoices):
        IMPORT = "import"
        PAUSE = "pause"
        RESUME = "resume"
        DISABLE = "disable"
        ARCHIVE = "archive"
        ROTATE = "rotate"
        MOVE = "move"

    class Status(models.TextChoices):
        PLANNED = "planned"
        RUNNING = "running"
        FINISHED = "finished"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="+", db_index=False)
    action = models.CharField(max_length=16, choices=Action.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RUNNING)
    is_dry_run = models.BooleanField(default=False)
    is_all_or_nothing = models.BooleanField(default=False)
    # Which subscriptions were asked for, and what with them: as in the API.
    selection = models.JSONField(default=dict, blank=True)
    settings = models.JSONField(default=dict, blank=True)
    line_count = models.PositiveIntegerField(default=0)
    created_count = models.PositiveIntegerField(default=0)
    changed_count = models.PositiveIntegerField(default=0)
    unchanged_count = models.PositiveIntegerField(default=0)
    refused_count = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    # Who asked: the audit names them for every line.
    actor = models.JSONField(default=dict, editable=False)
    lease_token = models.UUIDField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    secrets_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-created_at"], name="bulk_job_by_account"),
            # The jobs to be moved on; holds only those.
            models.Index(
                fields=["created_at"], condition=Q(status="running"), name="bulk_job_running"
            ),
            # Those whose secrets are to be forgotten; holds only those.
            models.Index(
                fields=["secrets_until"],
                condition=Q(secrets_until__isnull=False),
                name="bulk_job_secrets",
            ),
            # Those that ended long ago.
            models.Index(fields=["finished_at"], name="bulk_job_by_end"),
        ]

    def __str__(self) -> str:
        return f"{self.action} of {self.line_count} subscriptions"

    @property
    def done_count(self) -> int:
        """How many lines have an outcome."""
        return self.created_count + self.changed_count + self.unchanged_count + self.refused_count

    @property
    def requested_by(self) -> str:
        return str(self.actor.get("label", ""))


class BulkLine(models.Model):
    """One line of a job: one subscription, and what became of it."""

    class Outcome(models.TextChoices):
        PENDING = "pending"  # nothing was done
        CREATED = "created"
        CHANGED = "changed"
        UNCHANGED = "unchanged"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="lines", db_index=False)
    # The line of a CSV file, the place in a JSON array, or a number from 1.
    number = models.PositiveIntegerField()
    subscription = models.ForeignKey(
        "subscriptions.Subscription", models.SET_NULL, null=True, related_name="+"
    )
    # What a file says: values by column, and the problems of those that cannot be read.
    document = models.JSONField(default=dict)
    unreadable = models.JSONField(default=list)
    outcome = models.CharField(max_length=16, choices=Outcome.choices, default=Outcome.PENDING)
    # {field: [before, after]} and [{"path", "code", "message"}].
    changes = models.JSONField(default=dict)
    problems = models.JSONField(default=list)
    # The new signing secret, until it is fetched once or forgotten.
    secret = EncryptedTextField(blank=True, default="", editable=False)

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [
            # Also the job's lines in order.
            models.UniqueConstraint(fields=["job", "number"], name="bulk_line_unique_number")
        ]
        indexes: ClassVar = [
            # What is still to be done, and how much has each outcome.
            models.Index(fields=["job", "outcome", "number"], name="bulk_line_by_outcome"),
        ]

    def __str__(self) -> str:
        return f"line {self.number}: {self.outcome}"
