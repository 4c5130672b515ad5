"""What is done with reports. Each function is one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from analytics.defaults import SUBJECTS
from analytics.errors import DashboardNotSeen, NotThere
from analytics.models import Dashboard, Report, ReportRun
from analytics.models.reports import Format
from analytics.spans import Period, last_full, next_slot
from monitoring import journal
from webhooks_project.acceptable import Problem, listed, problems_of, refuse
from webhooks_project.accounts.models import Account, Role, User
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.time_zones import is_time_zone
from webhooks_project.queues import wake

MAX_REPORTS: Final = 200  # of an account
MAX_RECIPIENTS: Final = 50
MAX_WAITING: Final = 5  # runs of one report that were asked for and are not made yet
FIELDS: Final = (
    "name", "dashboard", "subject", "period", "formats", "recipients", "time_zone", "hour",
    "enabled",
)  # fmt: skip
_WHEN: Final = {"period", "time_zone", "hour", "enabled"}


class ReportNotAcceptable(DomainError):
    """The report is not acceptable."""

    code = "report_not_acceptable"


class TooManyReports(DomainError):
    """There are as many reports as there may be."""

    code = "too_many_reports"
    status = 409


class RunsWaiting(DomainError):
    """Some runs of this report wait to be made; ask again when they are."""

    code = "runs_waiting"
    status = 409


@transaction.atomic
def create_report(*, account: Account, owner: User | None, **fields: Any) -> Report:
    """Make a report of FIELDS; where it is enabled it is due at its next hour.

    Raises ReportNotAcceptable and TooManyReports.
    """
    now = clock.now()
    row = Report(account=account, owner=owner, created_at=now, **_known(fields))
    refuse(report_problems(row), ReportNotAcceptable)
    if Report.objects.filter(account=account).count() >= MAX_REPORTS:
        raise TooManyReports(f"an account has at most {MAX_REPORTS} reports")
    row.next_run_at = _due(row, now)
    row.save(force_insert=True)
    journal.record_change(
        account_id=account.pk, action="report.created", subject=row, after=_shown(row)
    )
    return row


@transaction.atomic
def change_report(*, report: Report, **changes: Any) -> Report:
    """Change the named fields of FIELDS. Raises ReportNotAcceptable and NotThere."""
    row = _locked(report)
    before = _shown(row)
    for name, value in _known(changes).items():
        setattr(row, name, value)
    problems = [
        problem
        for problem in report_problems(row)
        # One that became private stops no other change.
        if problem.field != "dashboard" or before["dashboard"] != _shown(row)["dashboard"]
    ]
    refuse(problems, ReportNotAcceptable)
    if _WHEN & changes.keys():
        row.next_run_at = _due(row, clock.now())
        changes["next_run_at"] = row.next_run_at
    row.save(update_fields=list(changes))
    after = _shown(row)
    journal.record_change(
        account_id=row.account_id,
        action="report.changed",
        subject=row,
        before={name: value for name, value in before.items() if value != after[name]},
        after={name: value for name, value in after.items() if value != before[name]},
    )
    return row


@transaction.atomic
def delete_report(*, report: Report) -> None:
    """Delete a report, with its runs and their files. Raises NotThere."""
    report = _locked(report)
    journal.record_change(
        account_id=report.account_id,
        action="report.deleted",
        subject=report,
        before=_shown(report),
    )
    report.delete()


@transaction.atomic
def request_run(
    *, report: Report, is_sent: bool = False, period: Period | None = None
) -> ReportRun:
    """Have the report made soon, of its last whole period or of the one given.

    It waits to be fetched, or with `is_sent` also goes to the recipients. Raises RunsWaiting,
    DashboardNotSeen and NotThere.
    """
    _locked(report)
    if not report.is_seen:
        raise DashboardNotSeen
    waiting = report.runs.filter(next_attempt_at__isnull=False)
    if waiting.count() >= MAX_WAITING:
        raise RunsWaiting
    now = clock.now()
    of = period or last_full(report.period, now, report.time_zone)
    run = ReportRun.objects.create(
        account_id=report.account_id,
        report=report,
        trigger=ReportRun.Trigger.DEMAND,
        since=of.since,
        until=of.until,
        is_sent=is_sent,
        requested_by=current_actor.get().label[:200],
        next_attempt_at=now,
        created_at=now,
    )
    journal.record_change(
        account_id=report.account_id,
        action="report.run",
        subject=report,
        after={
            "run": str(run.pk), "since": of.since.isoformat(), "until": of.until.isoformat(),
            "is_sent": is_sent,
        },
    )  # fmt: skip
    transaction.on_commit(lambda: wake("analytics"))
    return run


def _locked(report: Report) -> Report:
    row = Report.objects.select_for_update().filter(pk=report.pk).first()
    if row is None:
        raise NotThere
    return row


def report_problems(row: Report) -> list[Problem]:
    """What is wrong with a report as it would be stored."""
    checks = {
        "name": lambda: [] if row.name.strip() else [Problem("required", "needs a name")],
        "subject": lambda: _subject(row),
        "dashboard": lambda: _dashboard(row),
        "formats": lambda: _formats(row.formats),
        "recipients": lambda: _recipients(row),
        "time_zone": lambda: (
            []
            if is_time_zone(row.time_zone)
            else [Problem("unknown", "there is no such time zone; one is Europe/Berlin")]
        ),
    }
    unjudged = ("account", "owner", "dashboard", "formats", "recipients")
    return problems_of(row, checks, unjudged=unjudged)


def _subject(row: Report) -> Iterator[Problem]:
    if row.dashboard_id is None and not row.subject:
        yield Problem("required", "name a dashboard, or what the report is of")
    elif row.dashboard_id is not None and row.subject:
        yield Problem("not_both", "a report is of a dashboard or of a subject, not of both")
    elif row.subject and row.subject not in SUBJECTS:
        yield Problem("unknown", f"is one of {', '.join(SUBJECTS)}")


def _dashboard(row: Report) -> Iterator[Problem]:
    dashboard = row.dashboard
    if dashboard is None:
        return
    mine = dashboard.account_id == row.account_id
    seen = Dashboard.objects.seen_by(row.owner_id).filter(pk=dashboard.pk)
    if not (mine and seen.exists()):
        # The same words for one that is another's as for one that is not.
        yield Problem("unknown", "the account has no such dashboard")


def _formats(value: object) -> Iterator[Problem]:
    yield from listed(
        value,
        len(Format.values),
        lambda text: (
            None
            if text in Format.values
            else Problem("unknown", f"is one of {', '.join(Format.values)}")
        ),
    )
    if value == []:
        yield Problem("required", "needs at least one format")


def _recipients(row: Report) -> Iterator[Problem]:
    yield from listed(row.recipients, MAX_RECIPIENTS, _recipient)
    if row.enabled and not row.recipients:
        yield Problem("required", "a report that is sent on schedule has recipients")


def _recipient(text: str) -> Problem | None:
    if text in Role.values:
        return None
    try:
        validate_email(text)
    except ValidationError:
        pass
    else:
        if len(text) <= 254 and text.isprintable():
            return None
    return Problem("no_address", f"{text[:64]!r} is no address and no role")


def _due(row: Report, now: datetime) -> datetime | None:
    return next_slot(row.period, row.hour, now, row.time_zone) if row.enabled else None


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    if strange := fields.keys() - set(FIELDS):
        raise TypeError(f"{', '.join(sorted(strange))} is not of a report")
    return fields


def _shown(row: Report) -> dict[str, Any]:
    shown = {name: getattr(row, name) for name in FIELDS if name != "dashboard"}
    return {**shown, "dashboard": str(row.dashboard_id) if row.dashboard_id else None}
