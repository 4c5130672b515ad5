"""Reports: what they may be, when they are due, each made and sent once, in every format."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pypdf
import pytest
import time_machine
from django.core import mail

from analytics.defaults import SUBJECTS
from analytics.errors import DashboardNotSeen
from analytics.measures import describe
from analytics.models import Objective, Report, ReportFile, ReportRun
from analytics.reports import runs
from analytics.reports.content import Content, content_of
from analytics.reports.csv_file import HEADERS, safe
from analytics.reports.files import made_in
from analytics.reports.runs import LEASE_SECONDS, run_due_reports, schedule_due_reports
from analytics.reports.services import (
    ReportNotAcceptable,
    RunsWaiting,
    change_report,
    create_report,
    delete_report,
    request_run,
)
from analytics.shown import Figures, Key, Line
from analytics.spans import Period
from analytics.tasks import roll_up
from analytics.widgets import WidgetSpec
from monitoring.channels.email import mail_of
from monitoring.models import Activity, AuditEntry, Notification
from monitoring.notifications import message_of, send_due_notifications
from tests.analytics.history import NOW, make_history
from tests.factories import (
    make_account,
    make_dashboard,
    make_report,
    make_report_run,
    make_user,
    make_widget,
)
from webhooks_project.accounts.models import Role
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import mark_uncounted

pytestmark = pytest.mark.django_db

ATTACK = "=cmd|' /C calc'!A0"
ALL = ["html", "csv", "xlsx", "pdf"]
MONDAY = datetime(2026, 3, 9, 7, 30, tzinfo=UTC)


def fields(**given: Any) -> dict[str, Any]:
    return {
        "name": "Weekly",
        "subject": "integration_health",
        "period": "weekly",
        "formats": ["html", "pdf"],
        "recipients": ["ann@example.com"],
        "time_zone": "Europe/Berlin",
        "hour": 8,
    } | given


def made(formats: list[str] = ALL, **given: Any) -> ReportRun:
    """A run that was made, over the history's hours."""
    run = request_run(
        report=make_report(formats=formats, **given),
        period=Period(NOW - timedelta(days=1), NOW),
    )
    assert run_due_reports() == 1
    run.refresh_from_db()
    assert (run.status, run.error) == ("finished", "")
    return run


def content(run: ReportRun, kind: str) -> bytes:
    return bytes(run.files.get(format=kind).content)


# --- what a report may be -------------------------------------------------------------------------


def test_a_report_is_due_at_its_next_hour() -> None:
    with time_machine.travel(MONDAY, tick=False):  # half past eight in Berlin
        report = create_report(account=make_account(), owner=None, **fields())
        assert report.next_run_at == datetime(2026, 3, 16, 7, tzinfo=UTC)
        change_report(report=report, hour=9)
        report.refresh_from_db()
        assert report.next_run_at == datetime(2026, 3, 9, 8, tzinfo=UTC)
        change_report(report=report, enabled=False)
        report.refresh_from_db()
        assert report.next_run_at is None
    assert [entry.action for entry in AuditEntry.objects.order_by("sequence")] == [
        "report.created", "report.changed", "report.changed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "field", "code"),
    [
        ({"name": " "}, "name", "required"),
        ({"subject": ""}, "subject", "required"),
        ({"subject": "weather"}, "subject", "unknown"),
        ({"formats": []}, "formats", "required"),
        ({"formats": ["docx"]}, "formats", "unknown"),
        ({"formats": ["pdf", "pdf"]}, "formats", "repeated"),
        ({"recipients": []}, "recipients", "required"),
        ({"recipients": ["nobody"]}, "recipients", "no_address"),
        ({"recipients": ["a@example.com\nBcc: b@example.com"]}, "recipients", "no_address"),
        ({"recipients": [f"a{n}@example.com" for n in range(51)]}, "recipients", "too_many"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "unknown"),
        ({"hour": 24}, "hour", "max_value"),
        ({"period": "hourly"}, "period", "invalid_choice"),
    ],
)
def test_refuses_what_is_no_report(given: dict[str, Any], field: str, code: str) -> None:
    with pytest.raises(ReportNotAcceptable) as refused:
        create_report(account=make_account(), owner=None, **fields(**given))
    [error] = refused.value.extra["errors"]  # type: ignore[misc]
    assert (error["path"].split("/")[1], error["code"]) == (field, code)
    assert not Report.objects.exists()


def test_a_report_is_of_a_dashboard_that_its_owner_sees() -> None:
    ann, bob, account = make_user(), make_user(), make_account()
    for board in (
        make_dashboard(),
        make_dashboard(account, owner=bob, is_shared=False),
    ):
        with pytest.raises(ReportNotAcceptable):
            create_report(account=account, owner=ann, **fields(subject="", dashboard=board))
    own = make_dashboard(account, owner=ann, is_shared=False)
    assert create_report(account=account, owner=ann, **fields(subject="", dashboard=own)).pk
    with pytest.raises(ReportNotAcceptable):
        create_report(account=account, owner=ann, **fields(dashboard=own))


def test_a_report_that_is_made_on_demand_needs_no_recipients() -> None:
    report = create_report(
        account=make_account(), owner=None, **fields(recipients=[], enabled=False)
    )
    assert report.next_run_at is None


def test_a_deleted_report_takes_its_runs_along() -> None:
    run = make_report_run()
    delete_report(report=run.report)
    assert not ReportRun.objects.exists()
    assert not ReportFile.objects.exists()


def test_a_few_runs_may_wait_and_no_more() -> None:
    report = make_report()
    for _ in range(5):
        request_run(report=report)
    with pytest.raises(RunsWaiting):
        request_run(report=report)


# --- schedule -------------------------------------------------------------------------------------


def test_a_due_report_is_made_once_of_the_last_whole_period() -> None:
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(account=make_account(), owner=None, **fields())
        assert run_due_reports() == 0
        clock.move_to(datetime(2026, 3, 16, 7, 0, 5, tzinfo=UTC))
        assert [run_due_reports(), run_due_reports()] == [1, 0]
    run = report.runs.get()
    assert (run.status, run.trigger) == ("finished", "schedule")
    assert run.since == datetime(2026, 3, 8, 23, tzinfo=UTC)
    assert run.until == datetime(2026, 3, 15, 23, tzinfo=UTC)
    report.refresh_from_db()
    assert report.next_run_at == datetime(2026, 3, 23, 7, tzinfo=UTC)
    assert Notification.objects.count() == 1


def test_missed_hours_are_one_run() -> None:
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(account=make_account(), owner=None, **fields(period="daily", hour=6))
        clock.move_to(MONDAY + timedelta(days=5))
        run_due_reports()
        assert report.runs.count() == 1
        report.refresh_from_db()
        assert report.next_run_at == datetime(2026, 3, 15, 5, tzinfo=UTC)


def test_of_two_nodes_that_see_it_due_one_makes_a_run() -> None:
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(account=make_account(), owner=None, **fields())
        clock.move_to(MONDAY + timedelta(days=7))
        seen = Report.objects.get()  # what the other node has read
        assert schedule_due_reports() == 1
        assert runs._schedule(seen, MONDAY + timedelta(days=7)) == 0
    assert report.runs.count() == 1


def test_counting_is_followed_by_reports() -> None:
    request_run(report=make_report())
    roll_up()
    assert ReportRun.objects.get().status == "finished"


def test_a_report_waits_until_its_period_is_counted() -> None:
    """An hour at most; then it says what is missing. One that is asked for does not wait."""
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(
            account=make_account(), owner=None, **fields(period="daily", hour=9, formats=["html"])
        )
        clock.move_to(MONDAY + timedelta(hours=1))
        mark_uncounted(Uncounted.Kind.ATTEMPT, [MONDAY - timedelta(hours=9)])
        mark_uncounted(Uncounted.Kind.RECEIPT, [MONDAY - timedelta(hours=9), MONDAY])
        assert run_due_reports() == 0
        run = report.runs.get()
        assert (run.status, run.attempt_count) == ("pending", 0)
        asked = request_run(report=report)
        assert run_due_reports() == 1
        clock.move_to(MONDAY + timedelta(hours=2))
        assert run_due_reports() == 1
        run.refresh_from_db()
    assert (run.status, run.error) == ("finished", "")
    for one in (run, asked):
        assert b"Not all of it was counted yet: 1 of its minutes may be missing." in content(
            one, "html"
        )
    text = Notification.objects.get(object_id=str(run.pk)).text
    assert text.splitlines()[2] == (
        "Not all of it was counted yet: 1 of its minutes may be missing."
    )


def test_a_report_of_what_is_counted_does_not_wait() -> None:
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(
            account=make_account(), owner=None, **fields(period="daily", hour=9, formats=["html"])
        )
        clock.move_to(MONDAY + timedelta(hours=1))
        mark_uncounted(Uncounted.Kind.ATTEMPT, [MONDAY])  # of today
        assert run_due_reports() == 1
    assert b"Not all of it" not in content(report.runs.get(), "html")


def test_what_began_before_midnight_is_given_time_to_end() -> None:
    midnight = datetime(2026, 3, 9, 23, tzinfo=UTC)  # in Berlin
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(account=make_account(), owner=None, **fields(period="daily", hour=0))
        assert report.next_run_at == midnight
        clock.move_to(midnight)
        assert run_due_reports() == 0
        assert report.runs.get().next_attempt_at == midnight + timedelta(minutes=2)


# --- making ---------------------------------------------------------------------------------------


def test_a_late_worker_neither_keeps_files_nor_tells_anybody() -> None:
    """Its lease ran out while it worked, and another made the report meanwhile."""
    run = request_run(report=make_report(), is_sent=True)
    first = runs._claim(run.next_attempt_at)  # type: ignore[arg-type]
    assert first is not None
    with time_machine.travel(datetime.now(UTC) + timedelta(seconds=LEASE_SECONDS + 1)):
        assert run_due_reports() == 1
    runs._make(first)
    run.refresh_from_db()
    assert (run.status, run.attempt_count) == ("finished", 2)
    assert run.files.count() == 1
    assert Notification.objects.count() == 1


def test_what_fails_is_tried_again_and_in_the_end_said() -> None:
    run = request_run(report=make_report(), is_sent=True)
    start = datetime.now(UTC)
    with (
        mock.patch("analytics.reports.runs.content_of", side_effect=OSError("no disk")),
        time_machine.travel(start, tick=False) as clock,
    ):
        for minutes in (1, 2, 20):
            clock.move_to(start + timedelta(minutes=minutes))
            assert run_due_reports() == 1
    run.refresh_from_db()
    assert (run.status, run.attempt_count) == ("failed", 3)
    assert run.error == "OSError: no disk"
    assert run.next_attempt_at is None
    assert Activity.objects.get().kind == "report.failed"
    assert not Notification.objects.exists()
    assert not ReportFile.objects.exists()


def test_a_report_whose_process_always_dies_fails_in_the_end() -> None:
    run = request_run(report=make_report())
    ReportRun.objects.update(attempt_count=3, status="running")
    assert run_due_reports() == 1
    run.refresh_from_db()
    assert run.status == "failed"
    assert run.error.startswith("TryNeverEnded")


def test_files_are_kept_for_some_days_and_runs_longer(settings: Any) -> None:
    settings.WEBHOOKS_REPORT_DAYS = 7
    run = make_report_run()
    ReportFile.objects.update(created_at=datetime.now(UTC) - timedelta(days=8))
    kept = make_report_run()
    run_due_reports()
    assert set(ReportFile.objects.values_list("run", flat=True)) == {kept.pk}
    assert ReportRun.objects.filter(pk=run.pk).exists()


# --- mail -----------------------------------------------------------------------------------------


def test_recipients_get_the_html_and_the_files() -> None:
    account = make_account()
    make_user(account, Role.ADMIN, email="boss@example.com")
    make_user(account, Role.VIEWER, email="looker@example.com")
    make_history(account)
    report = make_report(account, formats=ALL, recipients=["ann@example.com", "admin"])
    run = request_run(report=report, is_sent=True, period=Period(NOW - timedelta(days=1), NOW))
    run_due_reports()
    send_due_notifications()
    assert sorted(message.to[0] for message in mail.outbox) == [
        "ann@example.com", "boss@example.com",
    ]  # fmt: skip
    message: Any = mail.outbox[0]
    assert "Success rate: 72.7 %" in message.body  # 110 attempts, of which 30 failed
    [(html, kind)] = message.alternatives
    assert kind == "text/html"
    assert "72.7 %" in html
    assert {name.rsplit(".")[-1] for name, _, _ in message.attachments} == {"csv", "xlsx", "pdf"}
    assert f"/admin/analytics/reportrun/{run.pk}/change/" in message.body
    send_due_notifications()
    assert len(mail.outbox) == 2


def test_what_is_not_sent_waits_to_be_fetched() -> None:
    made(["csv"])
    assert not Notification.objects.exists()


def test_files_too_large_for_mail_are_fetched_by_the_link(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitoring.report_mail.MAX_ATTACHED_BYTES", 10)
    run = request_run(report=make_report(formats=["html", "pdf"]), is_sent=True)
    run_due_reports()
    notification = Notification.objects.get(object_id=str(run.pk))
    message: Any = mail_of(message_of(notification))
    assert (len(message.alternatives), message.attachments) == (1, [])


# --- formats --------------------------------------------------------------------------------------


@pytest.fixture
def strange() -> ReportRun:
    """A report of rows whose names are a stranger's attack, of each kind of widget."""
    history = make_history(good=ATTACK, bad="<script>alert(1)</script>", source="Ünïcode 漢字 ☃")
    board = make_dashboard(history.account)
    for kind, measures, more in (
        ("table", ["attempts", "success_rate"], {"dimensions": ["subscription"], "compare": True}),
        ("bar", ["attempts"], {"dimensions": ["subscription"]}),
        ("stacked", ["attempts"], {"dimensions": ["subscription"]}),
        ("stacked", ["succeeded", "failed"], {}),
        ("bar", ["receipts"], {}),
        ("heat_map", ["receipts"], {}),
        ("table", ["receipts"], {"dimensions": ["source"]}),
        ("dead_letters", [], {}),
    ):
        make_widget(board, title=ATTACK, kind=kind, measures=measures, position=9, **more)
    return made(account=history.account, dashboard=board, name="=1+1 [report]: a/b")


def test_csv_has_a_line_for_each_value_and_no_formula(strange: ReportRun) -> None:
    text = content(strange, "csv").decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))
    assert tuple(rows[0]) == HEADERS
    assert [row for row in rows if row[0] == "Attempts"] == [
        ["Attempts", "", "", "", "", "attempts", "count", "110", ""]
    ]
    named = [row for row in rows if "cmd" in row[4]]
    assert named
    assert all(row[4] == f"'{ATTACK}" and row[0] == f"'{ATTACK}" for row in named)
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", " =1", "＝1"])
def test_a_cell_is_no_formula(text: str) -> None:
    assert safe(text) == f"'{text}"


def test_a_plain_cell_stays_as_it_is() -> None:
    assert safe("Billing - east") == "Billing - east"


def test_excel_has_sheets_with_charts_and_no_formula(strange: ReportRun) -> None:
    book = zipfile.ZipFile(io.BytesIO(content(strange, "xlsx")))
    assert book.testzip() is None
    names = book.namelist()
    # The line, bars, two stacked and bars over time; a heat map is colours in cells.
    assert len([name for name in names if name.startswith("xl/charts/chart")]) == 5
    sheets = [book.read(name).decode() for name in names if name.startswith("xl/worksheets/sheet")]
    assert not any("<f>" in sheet for sheet in sheets)
    charts = [book.read(name).decode() for name in names if name.startswith("xl/charts/chart")]
    assert not any("<c:f>cmd" in chart for chart in charts)
    assert any("colorScale" in sheet for sheet in sheets)
    assert "cmd|" in book.read("xl/sharedStrings.xml").decode()


def test_no_word_of_a_pdf_s_headers_is_broken() -> None:
    run = made(["pdf"], account=make_history().account, subject="integration_health")
    text = "\n".join(
        page.extract_text() for page in pypdf.PdfReader(io.BytesIO(content(run, "pdf"))).pages
    )
    words = text.split()
    for word in ("Attempts", "Success", "rate", "Retries", "delivery", "Receipts", "Accepted,"):
        assert word in words


def test_pdf_has_the_figures_as_text(strange: ReportRun) -> None:
    reader = pypdf.PdfReader(io.BytesIO(content(strange, "pdf")))
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert "=1+1 [report]: a/b" in text
    assert "<script>alert(1)</script>" in text  # as text
    assert "110" in text
    assert reader.metadata is not None
    assert reader.metadata.title == "=1+1 [report]: a/b"


def test_html_is_whole_in_itself_and_escaped(strange: ReportRun) -> None:
    html = content(strange, "html").decode()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert "http://" not in html
    assert "https://" not in html
    assert "<img" not in html
    assert "<style" not in html  # some mail programs take it away
    assert "bgcolor=" in html


def test_a_number_in_a_table_of_a_mail_stays_with_its_unit() -> None:
    account = make_account()
    Objective.objects.create(account=account, target_percent="99.5")
    run = make_report_run(make_report(account, subject="overview"))
    html = made_in("html", content_of(run))[1].decode()
    (cell,) = re.findall(r"<td[^>]*>99.5 %</td>", html)
    assert 'align="right"' in cell
    assert "white-space:nowrap" in cell


def test_a_name_of_a_file_is_plain(strange: ReportRun) -> None:
    assert {file.name for file in strange.files.all()} == {
        f"11-report-ab-2026-03-11.{kind}" for kind in ALL
    }


@pytest.mark.parametrize("subject", SUBJECTS)
def test_an_account_on_its_first_day_has_reports_too(subject: str) -> None:
    run = make_report_run(make_report(subject=subject))
    found = content_of(run)
    for kind in ALL:
        assert len(made_in(kind, found)[1]) > 100
    assert "Nothing was sent in this period." in made_in("html", found)[1].decode() or (
        subject == "incoming"
    )


def test_a_report_says_how_many_lines_of_a_split_chart_are_left_out() -> None:
    history = make_history()
    board = make_dashboard(history.account)
    make_widget(
        board, title="Rates", kind="line", measures=["success_rate"], dimensions=["subscription"],
        limit=1,
    )  # fmt: skip
    run = made(account=history.account, dashboard=board)
    assert "1 more not shown." in content(run, "html").decode()
    reader = pypdf.PdfReader(io.BytesIO(content(run, "pdf")))
    assert "1 more not shown" in "\n".join(page.extract_text() for page in reader.pages)
    book = zipfile.ZipFile(io.BytesIO(content(run, "xlsx")))
    assert "1 more not shown" in book.read("xl/sharedStrings.xml").decode()


@pytest.mark.parametrize("kind", ["line", "bar", "stacked"])
def test_a_chart_without_a_series_breaks_no_report(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Figures, "series", lambda self: [])
    run = make_report_run()
    lines = (Line((Key("cause", "dns", "dns"),), {"failed": 1}, at=run.since),)
    spec = WidgetSpec(title="Causes", kind=kind, measures=("failed",), dimensions=("cause",))
    period = Period(run.since, run.until)
    figures = Figures(
        spec, period, "day", lines, steps=(run.since,), measures=(describe("failed"),)
    )
    for form in ALL:
        assert made_in(form, Content("Ours", "Acme", "", period, (figures,)))[1]


def test_a_dashboard_without_widgets_has_a_report_that_says_so() -> None:
    empty = Content("Title", "Account", "", Period(NOW - timedelta(days=1), NOW), ())
    assert b"This report has no widgets." in made_in("html", empty)[1]
    for kind in ("csv", "xlsx", "pdf"):
        assert made_in(kind, empty)[1]


def test_no_account_is_reported_to_another() -> None:
    make_history(good="Their endpoint")
    run = made(["csv"], account=make_account())
    assert b"Their endpoint" not in content(run, "csv")


# --- what does not go as it should ----------------------------------------------------------------


def test_more_bars_than_a_page_has_room_for_are_cut_and_said() -> None:
    run = make_report_run()
    lines = tuple(
        Line((Key("cause", f"c{n}", f"cause {n}"),), {"failed": 99 - n}) for n in range(90)
    )
    spec = WidgetSpec(title="Causes", kind="bar", measures=("failed",), dimensions=("cause",))
    period = Period(run.since, run.until)
    figures = Figures(spec, period, "", lines, measures=(describe("failed"),))
    made_of = Content("Ours", "Acme", "", period, (figures,))
    reader = pypdf.PdfReader(io.BytesIO(made_in("pdf", made_of)[1]))
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert "cause 39" in text
    assert "cause 40" not in text
    assert "and 50 more" in text


def test_a_format_that_cannot_be_made_keeps_no_other_back() -> None:
    run = request_run(report=make_report(formats=["csv", "pdf"]), is_sent=True)
    with mock.patch("analytics.reports.pdf.make", side_effect=ValueError("too large")):
        assert run_due_reports() == 1
    run.refresh_from_db()
    assert (run.status, run.error) == ("finished", "pdf: ValueError: too large")
    assert [file.format for file in run.files.all()] == ["csv"]
    assert "Could not be made: pdf." in Notification.objects.get().text
    assert Activity.objects.get().kind == "report.failed"


def test_where_no_format_can_be_made_it_is_tried_again() -> None:
    run = request_run(report=make_report(formats=["pdf"]))
    with mock.patch("analytics.reports.pdf.make", side_effect=ValueError("too large")):
        assert run_due_reports() == 1
    run.refresh_from_db()
    assert (run.status, run.attempt_count) == ("pending", 1)
    assert run.error == "FormatNotMade: pdf: ValueError: too large"


def test_a_report_that_is_deleted_after_its_claim_stops_nothing() -> None:
    run = request_run(report=make_report())
    claim = runs._claim(run.next_attempt_at)  # type: ignore[arg-type]
    assert claim is not None
    delete_report(report=run.report)
    runs._make(claim)
    assert not ReportRun.objects.exists()


def test_a_day_and_a_week_that_begin_together_are_two_runs() -> None:
    with time_machine.travel(MONDAY, tick=False) as clock:
        report = create_report(account=make_account(), owner=None, **fields(period="daily"))
        clock.move_to(datetime(2026, 3, 10, 7, 1, tzinfo=UTC))
        assert run_due_reports() == 1
        change_report(report=report, period="weekly")
        clock.move_to(datetime(2026, 3, 16, 7, 1, tzinfo=UTC))
        assert run_due_reports() == 1
    assert {run.until - run.since for run in report.runs.all()} == {
        timedelta(days=1), timedelta(days=7),
    }  # fmt: skip
    assert len({run.since for run in report.runs.all()}) == 1


# --- private dashboards ---------------------------------------------------------------------------


def test_of_a_dashboard_that_became_private_no_other_makes_a_report() -> None:
    ann, bob, account = make_user(), make_user(), make_account()
    board = make_dashboard(account, owner=ann)
    report = make_report(account, owner=bob, dashboard=board)
    waiting = request_run(report=report)
    board.is_shared = False
    board.save()
    assert run_due_reports() == 1
    waiting.refresh_from_db()
    assert (waiting.status, waiting.attempt_count) == ("failed", 1)
    assert waiting.error.startswith(
        "DashboardNotSeen: The report is of a dashboard that is private"
    )
    report = Report.objects.get()
    with pytest.raises(DashboardNotSeen):
        request_run(report=report)
    change_report(report=report, recipients=["bob@example.com"])  # all else can be changed
    with pytest.raises(ReportNotAcceptable):
        change_report(report=report, dashboard=make_dashboard(account, owner=ann, is_shared=False))
    own = make_report(account, owner=ann, dashboard=board)
    assert request_run(report=own).pk


def test_reports_of_a_private_dashboard_are_its_owners_alone() -> None:
    ann, bob, account = make_user(), make_user(), make_account()
    private = make_report(account, dashboard=make_dashboard(account, owner=ann, is_shared=False))
    shared = make_report(account, dashboard=make_dashboard(account, owner=ann))
    known = make_report(account)
    made_of = [make_report_run(report) for report in (private, shared, known)]
    for user, seen in ((ann, {0, 1, 2}), (bob, {1, 2})):
        reports = Report.objects.seen_by(user.pk)
        assert {row.pk for row in reports} == {made_of[n].report_id for n in seen}
        assert {row.pk for row in ReportRun.objects.seen_by(user.pk)} == {
            made_of[n].pk for n in seen
        }
