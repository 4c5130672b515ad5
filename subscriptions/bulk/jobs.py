"""Bulk jobs: planned, run in the background, cancelled; what they made is fetched once.

Each line is one transaction with its outcome, so a job that was cut off goes on behind its last
line and does none twice. All-or-nothing jobs are one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog
from django import db
from django.db import transaction
from django.db.models import Count, Q

from monitoring import journal
from subscriptions.bulk.files import MAX_LINES, Line, read_lines
from subscriptions.bulk.lines import Result, carry_out, problems_of, url_to_judge
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.bulk.selection import Selection
from subscriptions.endpoints import endpoint_problem, judged_once
from subscriptions.errors import BulkNotAcceptable, StateNotAllowed
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.actor import Actor, current_actor
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.ids import new_id
from webhooks_project.queues import call_task

log = structlog.get_logger(__name__)

Action = BulkJob.Action
Status = BulkJob.Status
Outcome = BulkLine.Outcome

TASK: Final = "subscriptions.bulk.tasks.run_bulk_jobs"
MAX_TOGETHER: Final = 500  # lines of an all-or-nothing job: one transaction that writers wait for
BATCH_LINES: Final = 50  # of one job, then the next job has its turn
LEASE: Final = timedelta(seconds=30)  # renewed with each line; who loses it does no harm
SECRETS_KEPT: Final = timedelta(hours=24)
JOBS_KEPT: Final = timedelta(days=90)
COUNTED: Final = (Outcome.CREATED, Outcome.CHANGED, Outcome.UNCHANGED, Outcome.REFUSED)


class NewSecret(NamedTuple):
    """A signing secret that a job made."""

    number: int
    subscription_id: UUID | None
    secret: str


class _Lost(Exception):
    """The line, or the job, is no longer this worker's."""


# --- planning -------------------------------------------------------------------------------------


def plan_import(
    *,
    account: Account,
    content: bytes,
    file_format: str,
    is_dry_run: bool = False,
    is_all_or_nothing: bool = False,
) -> BulkJob:
    """Start to create and change subscriptions as a file says, or to show what that would do.

    Raises FileNotAcceptable and BulkNotAcceptable.
    """
    lines = read_lines(content, file_format)
    present = set(
        Subscription.objects.filter(account=account).values_list("pk", flat=True)
        if any("id" in line.document for line in lines)
        else ()
    )
    return _plan(
        account,
        Action.IMPORT,
        lines=[(line, _key_of(line, present)) for line in lines],
        settings={"format": file_format},
        is_dry_run=is_dry_run,
        is_all_or_nothing=is_all_or_nothing,
    )


def _key_of(line: Line, present: set[UUID]) -> UUID | None:
    key = UUID(line.document["id"]) if "id" in line.document else None
    return key if key in present else None


def plan_action(
    *,
    account: Account,
    action: BulkJob.Action,
    selection: Selection,
    settings: dict[str, Any] | None = None,
    is_dry_run: bool = False,
    is_all_or_nothing: bool = False,
) -> BulkJob:
    """Start to do something to the subscriptions that are selected now, or to show it.

    `settings` are, where the action has them: reason; grace_seconds; url_from, url_to,
    keep_credentials, labels (None takes one away), channels_add, channels_remove.
    Raises BulkNotAcceptable.
    """
    if not selection.as_json():
        raise BulkNotAcceptable("an empty filter selects nothing; name at least the statuses")
    ids = selection.ids_in(account, MAX_LINES + 1)
    if len(ids) > MAX_LINES:
        raise BulkNotAcceptable(f"the filter selects more than {MAX_LINES:,} subscriptions")
    return _plan(
        account,
        action,
        lines=[(Line(number, {}), key) for number, key in enumerate(ids, 1)],
        selection=selection.as_json(),
        settings=settings or {},
        is_dry_run=is_dry_run,
        is_all_or_nothing=is_all_or_nothing,
    )


@transaction.atomic
def _plan(
    account: Account,
    action: BulkJob.Action,
    *,
    lines: Sequence[tuple[Line, UUID | None]],
    is_all_or_nothing: bool,
    **asked: Any,
) -> BulkJob:
    if is_all_or_nothing and len(lines) > MAX_TOGETHER:
        raise BulkNotAcceptable(
            f"all or nothing is possible for up to {MAX_TOGETHER:,} subscriptions at once"
        )
    actor = current_actor.get()
    now = clock.now()
    job = BulkJob.objects.create(
        account=account,
        action=action,
        status=Status.RUNNING,
        is_all_or_nothing=is_all_or_nothing,
        line_count=len(lines),
        actor={
            "kind": actor.kind,
            "id": actor.id,
            "label": actor.label[:200],
            "address": actor.address,
            "session": actor.session,
            "agent": actor.agent,
        },
        created_at=now,
        started_at=now,
        **asked,
    )
    BulkLine.objects.bulk_create(
        (
            BulkLine(
                job=job,
                number=line.number,
                subscription_id=key,
                document=line.document,
                unreadable=line.unreadable,
            )
            for line, key in lines
        ),
        batch_size=500,
    )
    marks = {name: value for name, value in job.selection.items() if name != "ids"}
    _record(job, "planned" if job.is_dry_run else "started", selection=marks)
    _call_task()
    return job


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
    _count(job)
    _record(job, "started")
    _call_task()
    return job


@transaction.atomic
def cancel_job(job: BulkJob) -> BulkJob:
    """Do no more lines; those that are done stay done. Raises StateNotAllowed for one ended."""
    _turn(
        job,
        (Status.PLANNED, Status.RUNNING),
        status=Status.CANCELLED,
        finished_at=clock.now(),
        secrets_until=_secrets_until(job),
        lease_token=None,
        leased_until=None,
    )
    _count(job)
    _record(job, "cancelled", done_count=job.done_count)
    return job


@transaction.atomic
def take_secrets(job: BulkJob) -> list[NewSecret]:
    """The signing secrets that the job made so far, once: they are forgotten with this call."""
    BulkJob.objects.select_for_update().get(pk=job.pk)
    rows = list(job.lines.exclude(secret="").order_by("number"))
    found = [NewSecret(row.number, row.subscription_id, row.secret) for row in rows]
    job.lines.exclude(secret="").update(secret="")
    if found:
        _record(job, "secrets_fetched", count=len(found))
    return found


def _turn(job: BulkJob, before: Sequence[str], **changes: Any) -> None:
    if not BulkJob.objects.filter(pk=job.pk, status__in=before).update(**changes):
        job.refresh_from_db()
        raise StateNotAllowed(f"the job is {job.status}")
    job.refresh_from_db()


def _record(job: BulkJob, verb: str, **after: Any) -> None:
    journal.record_change(
        account_id=job.account_id,
        action=f"bulk_job.{verb}",
        subject=job,
        after={"action": job.action, "line_count": job.line_count, **after},
    )


def _call_task() -> None:
    transaction.on_commit(lambda: call_task(TASK))


# --- carrying it out ------------------------------------------------------------------------------


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
    _count(job)
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
            _count(job)
            _end(job, token, Status.FINISHED)
            return
    with transaction.atomic():
        for line, refusal in refused:
            _refuse(job, line, refusal, token)
        for line, result in results if job.is_dry_run else ():
            _keep(job, line, result, token)
        _count(job)
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


def _count(job: BulkJob) -> None:
    counts = dict(
        BulkLine.objects.filter(job=job)
        .order_by()
        .values_list("outcome")
        .annotate(count=Count("pk"))
    )
    for outcome in COUNTED:
        setattr(job, f"{outcome}_count", counts.get(outcome, 0))
    job.save(update_fields=[f"{outcome}_count" for outcome in COUNTED])


def _secrets_until(job: BulkJob) -> datetime | None:
    return clock.now() + SECRETS_KEPT if job.lines.exclude(secret="").exists() else None


def _end(job: BulkJob, token: UUID, status: BulkJob.Status, error: str = "") -> None:
    now = clock.now()
    ended = BulkJob.objects.filter(pk=job.pk, status=Status.RUNNING, lease_token=token).update(
        status=status,
        error=error,
        finished_at=None if status == Status.PLANNED else now,
        secrets_until=_secrets_until(job),
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
