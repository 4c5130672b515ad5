"""Bulk jobs: started, cancelled; the secrets that they made are fetched once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from monitoring import journal
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.errors import StateNotAllowed
from webhooks_project.lib import clock
from webhooks_project.queues import call_task

Status = BulkJob.Status
Outcome = BulkLine.Outcome

TASK: Final = "subscriptions.bulk.tasks.run_bulk_jobs"
SECRETS_KEPT: Final = timedelta(hours=24)
COUNTED: Final = (Outcome.CREATED, Outcome.CHANGED, Outcome.UNCHANGED, Outcome.REFUSED)


class NewSecret(NamedTuple):
    """A signing secret that a job made."""

    number: int
    subscription_id: UUID | None
    secret: str


@transaction.atomic
def start_job(job: BulkJob) -> BulkJob:
    """Do what a dry run showed, or go on with a job that failed.

    Raises StateNotAllowed for one in another state.
    """
    before = BulkJob.objects.select_for_update().get(pk=job.pk)
    _turn(
        job,
        (Status.PLANNED, Status.FAILED),
        status=Status.RUNNING,
        is_dry_run=before.is_dry_run and before.status == Status.FAILED,
        started_at=clock.now(),
        finished_at=None,
        secrets_until=None,
        error="",
    )
    if before.is_dry_run or before.is_all_or_nothing:  # none of its lines was done
        job.lines.update(outcome=Outcome.PENDING, changes={}, problems=[])
    count_lines(job)
    record_change(job, "started")
    call_to_run()
    return job


@transaction.atomic
def cancel_job(job: BulkJob) -> BulkJob:
    """Do no more lines; those that are done stay done. Raises StateNotAllowed for one ended."""
    _turn(
        job,
        (Status.PLANNED, Status.RUNNING),
        status=Status.CANCELLED,
        finished_at=clock.now(),
        secrets_until=secrets_until(job),
        lease_token=None,
        leased_until=None,
    )
    count_lines(job)
    record_change(job, "cancelled", done_count=job.done_count)
    return job


@transaction.atomic
def take_secrets(job: BulkJob) -> list[NewSecret]:
    """The signing secrets that the job made so far, once: they are forgotten with this call."""
    BulkJob.objects.select_for_update().get(pk=job.pk)
    rows = list(job.lines.exclude(secret="").order_by("number"))
    found = [NewSecret(row.number, row.subscription_id, row.secret) for row in rows]
    job.lines.exclude(secret="").update(secret="")
    if found:
        record_change(job, "secrets_fetched", count=len(found))
    return found


def _turn(job: BulkJob, before: Sequence[str], **changes: Any) -> None:
    if not BulkJob.objects.filter(pk=job.pk, status__in=before).update(**changes):
        job.refresh_from_db()
        raise StateNotAllowed(f"the job is {job.status}")
    job.refresh_from_db()


def record_change(job: BulkJob, verb: str, **after: Any) -> None:
    """Put what a person did with the job in the audit log."""
    journal.record_change(
        account_id=job.account_id,
        action=f"bulk_job.{verb}",
        subject=job,
        after={"action": job.action, "line_count": job.line_count, **after},
    )


def call_to_run() -> None:
    """Have the running jobs carried out, after the commit."""
    transaction.on_commit(lambda: call_task(TASK))


def count_lines(job: BulkJob) -> None:
    """Count on the job what became of its lines."""
    counts = dict(
        BulkLine.objects.filter(job=job)
        .order_by()
        .values_list("outcome")
        .annotate(count=Count("pk"))
    )
    for outcome in COUNTED:
        setattr(job, f"{outcome}_count", counts.get(outcome, 0))
    job.save(update_fields=[f"{outcome}_count" for outcome in COUNTED])


def secrets_until(job: BulkJob) -> datetime | None:
    """Until when the job's secrets can be fetched; None where it made none."""
    return clock.now() + SECRETS_KEPT if job.lines.exclude(secret="").exists() else None
