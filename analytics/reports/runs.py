"""Making reports: due ones become runs, each run is claimed under a lease, made, and sent once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q

from analytics.errors import DashboardNotSeen
from analytics.models import Report, ReportFile, ReportRun
from analytics.reports.content import Content, content_of
from analytics.reports.files import made_in
from analytics.spans import last_full, next_slot
from monitoring import journal
from webhooks_project.lib import clock
from webhooks_project.lib.sql import is_due, update_returning
from webhooks_project.models import Uncounted

log = structlog.get_logger(__name__)

LEASE_SECONDS: Final = 300  # a run not ended for longer is made again, by whoever comes
TURN_SECONDS: Final = 40.0  # of one task; the next minute's goes on
RETRY_SECONDS: Final = (60, 600)  # after a failure; after the last the run has failed
GRACE: Final = timedelta(minutes=2)  # in which what began in a period is recorded
WAITS_FOR_COUNT: Final = timedelta(hours=1)  # then it is made of what was counted, and says so
KIND: Final = "report.ready"

Status = ReportRun.Status


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that this process makes. `number` of the try is the claim's token."""

    id: UUID
    number: int


class FormatNotMade(Exception):
    """Names the format and why it could not be made."""


class TryNeverEnded(Exception):
    """Every try is used up, and of the last it is not known how it ended."""


def run_due_reports(goes_on: Callable[[], bool] | None = None) -> int:
    """Make what is due, the longest waiting first, and forget old files. Returns the runs tried.

    Each is claimed, so that of two nodes one makes it and one sends it.
    """
    ends_at = time.monotonic() + TURN_SECONDS
    goes_on = goes_on or (lambda: time.monotonic() < ends_at)
    schedule_due_reports()
    tried = 0
    while goes_on() and (claim := _claim(clock.now())) is not None:
        tried += 1
        _make(claim)
    prune_files()
    return tried


def schedule_due_reports() -> int:
    """Make a run of each report whose hour has come, and set its next hour. Returns how many.

    Hours that were missed are not made up for one by one: there is one run, of the last whole
    period.
    """
    now = clock.now()
    if not is_due(Report, "next_run_at", now):
        return 0
    made = 0
    for report in Report.objects.filter(next_run_at__lte=now).order_by("next_run_at")[:500]:
        with transaction.atomic():
            made += _schedule(report, now)
    return made


def _schedule(report: Report, now: datetime) -> int:
    later = next_slot(report.period, report.hour, now, report.time_zone)
    # Who moves it on from this hour has claimed the hour.
    if not Report.objects.filter(pk=report.pk, next_run_at=report.next_run_at, enabled=True).update(
        next_run_at=later
    ):
        return 0
    of = last_full(report.period, now, report.time_zone)
    _, is_new = ReportRun.objects.get_or_create(
        report=report,
        since=of.since,
        until=of.until,  # a week's first day is not the week
        trigger=ReportRun.Trigger.SCHEDULE,
        defaults={
            "account_id": report.account_id,
            "next_attempt_at": max(now, of.until + GRACE),
            "created_at": now,
        },
    )
    return int(is_new)


def _claim(now: datetime) -> Claim | None:
    """Take the longest waiting one under a lease; its try is counted at once."""
    if not is_due(ReportRun, "next_attempt_at", now):
        return None
    with transaction.atomic():
        due = (
            ReportRun.objects.filter(~_waits_for_count(now), next_attempt_at__lte=now)
            .order_by("next_attempt_at")
            .select_for_update(skip_locked=True)
        )
        rows = update_returning(
            ReportRun.objects.all(),
            {
                "status": Status.RUNNING.value,
                "attempt_count": F("attempt_count") + 1,
                "started_at": now,
                "next_attempt_at": now + timedelta(seconds=LEASE_SECONDS),
            },
            ("id", "attempt_count"),
            among=due.values("pk")[:1],
        )
    return Claim(*rows[0]) if rows else None


def _waits_for_count(now: datetime) -> Q:
    """Scheduled ones of whose period not everything is counted yet; those asked for do not wait."""
    uncounted = Uncounted.objects.filter(
        minute__gte=OuterRef("since"), minute__lt=OuterRef("until")
    )
    is_new = Q(trigger=ReportRun.Trigger.SCHEDULE, created_at__gt=now - WAITS_FOR_COUNT)
    return is_new & Q(Exists(uncounted))


def _make(claim: Claim) -> None:
    rows = ReportRun.objects.select_related("report__dashboard", "account")
    run = rows.filter(pk=claim.id).first()
    if run is None:  # deleted meanwhile, with its report
        return
    try:
        if claim.number > len(RETRY_SECONDS) + 1:
            raise TryNeverEnded("The process ended before the last try did.")
        content = content_of(run)
        files, errors = _files(run, content)
        if errors and not files:
            raise errors[0]
        _finish(run, claim, content, files, "; ".join(map(str, errors))[:500])
    except Exception as error:
        _fail(run, claim, error)


def _files(
    run: ReportRun, content: Content
) -> tuple[list[tuple[str, str, bytes]], list[Exception]]:
    """The report in each of its formats, and what went wrong: a format that cannot be made does
    not keep the others back."""
    files: list[tuple[str, str, bytes]] = []
    errors: list[Exception] = []
    for name in run.report.formats:
        try:
            files.append((name, *made_in(name, content)))
        except Exception as error:
            errors.append(FormatNotMade(f"{name}: {_said(error)}"))
            errors[-1].__cause__ = error
            log.warning("format not made", run_id=str(run.pk), format=name, exc_info=error)
    return files, errors


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\x00", "\ufffd")


@transaction.atomic
def _finish(
    run: ReportRun,
    claim: Claim,
    content: Content,
    files: list[tuple[str, str, bytes]],
    missing: str = "",
) -> None:
    """Keep the files and tell the recipients, together with the end of the claim: a worker that
    comes back late finds it another's and does neither. `missing` says what of it was not made."""
    now = clock.now()
    if not _end(
        claim, status=Status.FINISHED, finished_at=now, next_attempt_at=None, error=missing
    ):
        return
    ReportFile.objects.bulk_create(
        [
            ReportFile(
                run=run, format=kind, name=name, content=data, size_bytes=len(data), created_at=now
            )
            for kind, name, data in files
        ]
    )
    if run.is_sent and run.report.recipients:
        kinds = {kind for kind, _, _ in files}
        others = [kind for kind in run.report.formats if kind not in kinds]
        left_out = f"\n\nCould not be made: {', '.join(others)}." if others else ""
        journal.record_notification(
            account_id=run.account_id,
            kind=KIND,
            recipients=run.report.recipients,
            title=f"{content.title}, {content.period}",
            text=content.text() + left_out,
            subject=run,
        )
    if missing:
        journal.record_activity(
            account_id=run.account_id,
            kind="report.failed",
            text=f"{run.report} was made in part: {missing}",
            subject=run,
        )
    log.info("report made", report_id=str(run.report_id), run_id=str(run.pk))


def _end(claim: Claim, **values: Any) -> bool:
    """End the claim. False where it is another's by now: its lease ran out."""
    return bool(
        ReportRun.objects.filter(
            pk=claim.id, status=Status.RUNNING, attempt_count=claim.number
        ).update(**values)
    )


@transaction.atomic
def _fail(run: ReportRun, claim: Claim, error: Exception) -> None:
    text = _said(error)[:500]
    now = clock.now()
    # What is not to be seen is not so a minute later.
    is_last = claim.number > len(RETRY_SECONDS) or isinstance(error, DashboardNotSeen)
    if is_last:
        ended = _end(claim, status=Status.FAILED, finished_at=now, next_attempt_at=None, error=text)
    else:
        later = now + timedelta(seconds=RETRY_SECONDS[claim.number - 1])
        ended = _end(claim, status=Status.PENDING, next_attempt_at=later, error=text)
    if ended and is_last:
        journal.record_activity(
            account_id=run.account_id,
            kind="report.failed",
            text=f"{run.report} was not made after {claim.number} tries: {text}",
            subject=run,
        )
    log.warning("report not made", run_id=str(run.pk), number=claim.number, failed=is_last,
                error=text, exc_info=error)  # fmt: skip


def prune_files() -> int:
    """Forget files that are kept no longer; the runs stay. Returns how many."""
    before = clock.now() - timedelta(days=settings.WEBHOOKS_REPORT_DAYS)
    deleted, _ = ReportFile.objects.filter(created_at__lt=before).delete()
    return deleted
