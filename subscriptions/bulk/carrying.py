"""Running jobs are carried out, line by line.

Each line is one transaction with its outcome, so a job that was cut off goes on behind its last
line and does none twice. All-or-nothing jobs are one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django import db
from django.db import transaction
from django.db.models import Q

from monitoring import journal
from subscriptions.bulk.jobs import count_lines, secrets_until
from subscriptions.bulk.lines import Result, carry_out, problems_of, url_to_judge
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.endpoints import endpoint_problem, judged_once
from webhooks_project.lib import clock
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.ids import new_id

log = structlog.get_logger(__name__)

Status = BulkJob.Status
Outcome = BulkLine.Outcome

BATCH_LINES: Final = 50  # of one job, then the next job has its turn
LEASE: Final = timedelta(seconds=30)  # renewed with each line; who loses it does no harm
JOBS_KEPT: Final = timedelta(days=90)


class _Lost(Exception):
    """The line, or the job, is no longer this worker's."""


def run_jobs(seconds: float, *, only: UUID | None = None) -> bool:
    """Move the running jobs on, each by some lines in turn, for so long. True where some is left.

    With `only` it is that job alone. Raises the database's OperationalError and InterfaceError:
    then nothing is wrong with a job.
    """
    ends_at = time.monotonic() + seconds
    running = BulkJob.objects.filter(status=Status.RUNNING)
    if only is not None:
        running = running.filter(pk=only)
    while True:
        moved = 0
        for pk in list(running.order_by("created_at").values_list("pk", flat=True)):
            if time.monotonic() >= ends_at:
                return True
            moved += _advance(pk)
        if not moved:
            return False


def forget_old(now: datetime) -> None:
    """Forget secrets that nobody fetched in time, and jobs that ended long ago."""
    late = BulkJob.objects.filter(secrets_until__lte=now)
    BulkLine.objects.filter(job__in=late).exclude(secret="").update(secret="")
    late.update(secrets_until=None)
    old = BulkJob.objects.filter(finished_at__lt=now - JOBS_KEPT).order_by("finished_at")
    for pk in list(old.values_list("pk", flat=True)[:10]):
        BulkJob.objects.filter(pk=pk).delete()


def _advance(pk: UUID) -> bool:
    """Do some lines of a job. False where it is in another worker's hands."""
    now, token = clock.now(), new_id()
    free = Q(leased_until=None) | Q(leased_until__lte=now)
    if not BulkJob.objects.filter(free, pk=pk, status=Status.RUNNING).update(
        lease_token=token, leased_until=now + LEASE
    ):
        return False
    job = BulkJob.objects.select_related("account").get(pk=pk)
    try:
        with _as_asked(job), judged_once():
            if job.is_all_or_nothing:
                _do_together(job, token)
            else:
                _do_some(job, token)
    except _Lost:
        return True
    except (db.OperationalError, db.InterfaceError):
        raise
    except Exception as error:
        log.exception("bulk job failed", job_id=str(pk))
        _end(job, token, Status.FAILED, f"{type(error).__name__}: {error}"[:1000])
        return True
    finally:
        BulkJob.objects.filter(pk=pk, lease_token=token).update(lease_token=None, leased_until=None)
    return True


@contextmanager
def _as_asked(job: BulkJob) -> Iterator[None]:
    token = current_actor.set(Actor(**job.actor))
    try:
        yield
    finally:
        current_actor.reset(token)


def _do_some(job: BulkJob, token: UUID) -> None:
    lines = _pending(job)[:BATCH_LINES]
    for line in lines:
        _look_up(job, line)
        try:
            with transaction.atomic():
                result = carry_out(job, line)
                if job.is_dry_run:
                    transaction.set_rollback(True)
                else:
                    _keep(job, line, result, token)
        except DomainError as error:
            with transaction.atomic():
                _refuse(job, line, error, token)
        else:
            if job.is_dry_run:
                with transaction.atomic():
                    _keep(job, line, result, token)
    count_lines(job)
    if len(lines) < BATCH_LINES:
        _end(job, token, Status.PLANNED if job.is_dry_run else Status.FINISHED)


def _do_together(job: BulkJob, token: UUID) -> None:
    """All lines in one transaction, which a single refusal takes back."""
    lines = list(_pending(job))
    for line in lines:
        _look_up(job, line)
        _renew(job, token)
    results: list[tuple[BulkLine, Result]] = []
    refused: list[tuple[BulkLine, DomainError]] = []
    with transaction.atomic():
        for line in lines:
            try:
                with transaction.atomic():
                    results.append((line, carry_out(job, line)))
            except DomainError as error:
                refused.append((line, error))
        if refused or job.is_dry_run:
            transaction.set_rollback(True)
        else:
            for line, result in results:
                _keep(job, line, result, token)
            count_lines(job)
            _end(job, token, Status.FINISHED)
            return
    with transaction.atomic():
        for line, refusal in refused:
            _refuse(job, line, refusal, token)
        for line, result in results if job.is_dry_run else ():
            _keep(job, line, result, token)
        count_lines(job)
        if job.is_dry_run:
            _end(job, token, Status.PLANNED)
        else:
            _end(job, token, Status.FAILED, f"{len(refused)} refused; nothing was changed")


def _pending(job: BulkJob) -> Any:
    return (
        BulkLine.objects.filter(job=job, outcome=Outcome.PENDING)
        .select_related("subscription")
        .order_by("number")
    )


def _look_up(job: BulkJob, line: BulkLine) -> None:
    # Before the transaction: a name server that hangs must not hold a lock of the database.
    url = url_to_judge(job, line)
    if url is not None:
        endpoint_problem(url)


def _keep(job: BulkJob, line: BulkLine, result: Result, token: UUID) -> None:
    """Store what became of a line, unless another did so, or the job was cancelled."""
    _renew(job, token)
    if not BulkLine.objects.filter(pk=line.pk, outcome=Outcome.PENDING).update(
        outcome=result.outcome
    ):
        raise _Lost
    line.outcome = result.outcome
    line.changes = result.changes
    if not job.is_dry_run:
        line.secret = result.secret
        if result.outcome == Outcome.CREATED:
            line.subscription = result.subscription
    line.save(update_fields=["changes", "secret", "subscription"])


def _refuse(job: BulkJob, line: BulkLine, error: DomainError, token: UUID) -> None:
    _keep(job, line, Result(Outcome.REFUSED), token)
    line.problems = problems_of(error)
    line.save(update_fields=["problems"])


def _renew(job: BulkJob, token: UUID) -> None:
    if not BulkJob.objects.filter(pk=job.pk, status=Status.RUNNING, lease_token=token).update(
        leased_until=clock.now() + LEASE
    ):
        raise _Lost


def _end(job: BulkJob, token: UUID, status: BulkJob.Status, error: str = "") -> None:
    now = clock.now()
    ended = BulkJob.objects.filter(pk=job.pk, status=Status.RUNNING, lease_token=token).update(
        status=status,
        error=error,
        finished_at=None if status == Status.PLANNED else now,
        secrets_until=secrets_until(job),
        lease_token=None,
        leased_until=None,
    )
    if ended and status == Status.FINISHED:
        journal.record_activity(
            account_id=job.account_id,
            kind="bulk_job.finished",
            text=f"{job.action}: {job.created_count} created, {job.changed_count} changed, "
            f"{job.unchanged_count} unchanged, {job.refused_count} refused.",
            subject=job,
        )
    log.info("bulk job ended", job_id=str(job.pk), status=str(status))
