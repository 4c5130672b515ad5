"""Figures of a period as files and mails: what is asked for, each time it was made, its files."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator
from django.db import models
from django.db.models import Q

from analytics.models.dashboards import Dashboard
from webhooks_project.lib.ids import new_id


class Format(models.TextChoices):
    HTML = "html", "HTML e-mail"
    CSV = "csv", "CSV"
    XLSX = "xlsx", "Excel"
    PDF = "pdf", "PDF"


class ReportQuerySet(models.QuerySet["Report"]):
    def seen_by(self, user_id: int | None) -> ReportQuerySet:
        """Those of dashboards that the user sees, and of what the hub knows."""
        boards = Dashboard.objects.seen_by(user_id)
        return self.filter(Q(dashboard=None) | Q(dashboard__in=boards))


class ReportRunQuerySet(models.QuerySet["ReportRun"]):
    def seen_by(self, user_id: int | None) -> ReportRunQuerySet:
        """Those of reports that the user sees."""
        boards = Dashboard.objects.seen_by(user_id)
        return self.filter(Q(report__dashboard=None) | Q(report__dashboard__in=boards))


class Report(models.Model):
    """What is reported of an account, how often, in which forms, and to whom.

    Of a dashboard, or of what the hub itself knows to report (`subject`): one of the two.
    """

    class Period(models.TextChoices):
        DAILY = "daily", "Daily"
        WEEKLY = "weekly", "Weekly, on Mondays"
        MONTHLY = "monthly", "Monthly, on the first"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="+",
    )
    name = models.CharField(max_length=120)
    dashboard = models.ForeignKey(
        Dashboard, models.CASCADE, null=True, blank=True, related_name="reports"
    )
    subject = models.CharField(max_length=32, blank=True)
    period = models.CharField(max_length=8, choices=Period.choices, default=Period.WEEKLY)
    formats = models.JSONField(default=list)
    # Addresses, and roles, whose members are meant.
    recipients = models.JSONField(default=list, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    hour = models.PositiveSmallIntegerField(
        default=8,
        validators=[MaxValueValidator(23)],
        help_text="Of the day on which it is sent, in its time zone.",
    )
    enabled = models.BooleanField(
        default=True,
        verbose_name="Sent on schedule",
        help_text="Otherwise it is made on demand alone.",
    )
    next_run_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(editable=False)

    objects = ReportQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(dashboard=None, subject__gt="")
                | Q(dashboard__isnull=False, subject=""),
                name="report_of_one_thing",
            ),
        ]
        indexes: ClassVar = [
            # The account's list, by name.
            models.Index(fields=["account", "name"], name="report_by_account"),
            # Those whose time has come; holds only those with a schedule.
            models.Index(
                fields=["next_run_at"],
                condition=Q(next_run_at__isnull=False),
                name="report_due",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_seen(self) -> bool:
        """Whether its owner sees what it is of: a dashboard may have become private."""
        if self.dashboard is None:
            return True
        return self.dashboard.is_shared or self.dashboard.owner_id in (None, self.owner_id)


class ReportRun(models.Model):
    """A report of one period: waiting, being made, made, or not to be made, and why.

    `attempt_count` is the token of who makes it; `next_attempt_at` the end of its lease, or when
    it is tried again.
    """

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule"
        DEMAND = "demand"

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        FINISHED = "finished"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    account = models.ForeignKey(
        "accounts.Account", models.CASCADE, related_name="+", db_index=False
    )
    report = models.ForeignKey(Report, models.CASCADE, related_name="runs", db_index=False)
    trigger = models.CharField(max_length=8, choices=Trigger.choices)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.PENDING)
    since = models.DateTimeField()
    until = models.DateTimeField()
    # Whether it goes to the report's recipients; else it waits to be fetched.
    is_sent = models.BooleanField(default=True)
    requested_by = models.CharField(max_length=200, blank=True)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ReportRunQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["report", "since", "until"],
                condition=Q(trigger="schedule"),
                name="report_run_once_a_period",
            ),
        ]
        indexes: ClassVar = [
            # The account's list, newest first.
            models.Index(fields=["account", "-created_at"], name="report_run_by_account"),
            # A report's runs, newest first.
            models.Index(fields=["report", "-created_at"], name="report_run_by_report"),
            # What waits to be made; holds only that.
            models.Index(
                fields=["next_attempt_at"],
                condition=Q(next_attempt_at__isnull=False),
                name="report_run_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.report} from {self.since:%Y-%m-%d} to {self.until:%Y-%m-%d}"


class ReportFile(models.Model):
    """A run's report in one format, kept for WEBHOOKS_REPORT_DAYS."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    run = models.ForeignKey(ReportRun, models.CASCADE, related_name="files", db_index=False)
    format = models.CharField(max_length=4, choices=Format.choices)
    name = models.CharField(max_length=200)
    content = models.BinaryField()
    size_bytes = models.PositiveIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["format"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "format"], name="report_file_unique_format"),
        ]
        indexes: ClassVar = [
            # The files that are kept no longer.
            models.Index(fields=["created_at"], name="report_file_by_time"),
        ]

    def __str__(self) -> str:
        return self.name
