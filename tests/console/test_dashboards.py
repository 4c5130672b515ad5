"""Dashboards and reports in the console: who sees and arranges what, and what is refused."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from analytics.admin import editor, looking, reports
from analytics.admin.boards import board_of
from analytics.defaults import DEFAULTS
from analytics.models import Dashboard, Report, ReportRun, Scope, Widget
from analytics.periods import Grain
from analytics.reports.runs import run_due_reports
from monitoring.models import AuditEntry
from tests.analytics.history import NOW, make_history
from tests.console.test_roles import member
from tests.factories import (
    make_account,
    make_dashboard,
    make_report,
    make_report_run,
    make_source,
    make_subscription,
    make_user,
    make_widget,
)
from webhooks_project.accounts.models import Membership, Role, User
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

VIEWER, DEVELOPER, OPERATOR, ADMIN = Role


def default(key: str = "overview") -> str:
    return reverse("admin:analytics_dashboard_default_board", args=[key])


def url(name: str, *args: object) -> str:
    return reverse(f"admin:analytics_dashboard_{name}", args=args)


def text_of(response: object) -> str:
    return response.content.decode()  # type: ignore[attr-defined]


def widget_form(**fields: object) -> dict[str, object]:
    return {
        "title": "Failures", "kind": "bar", "measures": ["failed"], "dimension": "cause",
        "granularity": "", "order_by": "", "limit": "", "width": "2", "height": "2",
    } | fields  # fmt: skip


# --- looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", DEFAULTS)
def test_a_viewer_has_default_dashboards_from_the_first_day(key: str) -> None:
    response = member(VIEWER, make_account()).get(default(key))
    assert response.status_code == 200
    for spec in DEFAULTS[key].widgets:
        assert spec.title in text_of(response)
    assert "Copy it to change it" not in text_of(response)


def test_who_is_no_member_sees_none(rows: dict[str, object]) -> None:
    client = member(VIEWER)
    assert client.get(default()).status_code == 403
    assert client.get(list_of("analytics.dashboard")).status_code == 403


def test_there_are_no_others() -> None:
    assert member(VIEWER, make_account()).get(default("weather")).status_code == 404


def test_a_member_sees_the_figures_of_their_accounts_alone() -> None:
    mine, theirs = make_history(good="Ours"), make_history(good="Theirs")
    client = member(VIEWER, mine.account)
    with time_machine.travel(NOW, tick=False):
        for query in ("", f"?account={theirs.account.pk}", f"?account={mine.account.pk}"):
            text = text_of(client.get(default("endpoints") + query))
            assert "Ours" in text
            assert "Theirs" not in text


def test_platform_staff_sees_every_account_or_one(console: Client) -> None:
    one, two = make_history(good="Ours"), make_history(good="Theirs")
    with time_machine.travel(NOW, tick=False):
        text = text_of(console.get(default("endpoints")))
        assert "Ours" in text
        assert "Theirs" in text
        text = text_of(console.get(default("endpoints") + f"?account={one.account.pk}"))
        assert "Ours" in text
        assert "Theirs" not in text
    assert two.account != one.account


def test_all_widgets_follow_the_period_of_the_page(console: Client) -> None:
    with time_machine.travel(NOW, tick=False):
        make_history()
        for query, shown in (
            ("?period=1h", "2026-03-12 13:31 to 2026-03-12 14:31"),
            ("?period=7d&zone=Europe/Berlin", "2026-03-06 00:00 to 2026-03-12 15:31"),
            ("?since=2026-03-01T00:00&until=2026-03-03T00:00", "2026-03-01 to 2026-03-02"),
        ):
            assert shown in text_of(console.get(default() + query)), query


@pytest.mark.parametrize(
    "query",
    [
        "?period=2w", "?since=yesterday&until=today", "?since=2026-03-01T00:00",
        "?since=2026-03-02T00:00&until=2026-03-01T00:00", "?zone=Mars/Olympus",
        "?since=0001-01-01T00:00&until=0001-01-02T00:00", "?account=x", "?period=%00",
        "?since=2026-03-01T00:00%2B14:00&until=9999-12-31T23:59-12:00",
    ],
)  # fmt: skip
def test_a_look_that_cannot_be_is_said_and_the_usual_shown(console: Client, query: str) -> None:
    response = console.get(default() + query)
    assert response.status_code == 200
    assert response.context["look"].period.name == "24h"


def test_the_time_zone_is_the_users_else_the_accounts() -> None:
    client = member(VIEWER, make_account(time_zone="Asia/Tokyo"))
    assert client.get(default()).context["look"].period.time_zone == "Asia/Tokyo"
    client.post(url("keep_time_zone"), {"zone": "Europe/Berlin", "next": default()})
    assert client.get(default()).context["look"].period.time_zone == "Europe/Berlin"
    assert client.get(default() + "?zone=UTC").context["look"].period.time_zone == "UTC"


def test_keeping_a_time_zone_leads_nowhere_else() -> None:
    client = member(VIEWER, make_account())
    response = client.post(url("keep_time_zone"), {"zone": "Mars", "next": "https://evil.example"})
    assert response.url == list_of("analytics.dashboard")  # type: ignore[attr-defined]
    assert not User.objects.exclude(time_zone="").exists()


def test_a_private_dashboard_is_its_owners_alone(console: Client) -> None:
    account = make_account()
    ann, bob = member(DEVELOPER, account), member(ADMIN, account)
    owner = User.objects.get(pk=ann.session["_auth_user_id"])
    board = make_dashboard(account, owner=owner, is_shared=False, name="Mine alone")
    assert "Attempts" in text_of(ann.get(board_of(board)))
    for other in (bob, console):
        assert other.get(board_of(board)).status_code == 302
        assert "Mine alone" not in text_of(other.get(list_of("analytics.dashboard")))
        assert other.get(page_of("analytics.dashboard", board.pk)).status_code == 302
        assert other.post(url("arrange", board.pk)).status_code == 404


def test_names_lead_to_their_pages_for_who_may_look() -> None:
    history = make_history()
    client = member(VIEWER, history.account)
    with time_machine.travel(NOW, tick=False):
        text = text_of(client.get(default("endpoints")))
    assert page_of("subscriptions.subscription", history.bad.pk) in text


def test_the_figures_of_a_page_as_csv(console: Client) -> None:
    history = make_history()
    with time_machine.travel(NOW, tick=False):
        response = console.get(default("endpoints") + "?as=csv")
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert 'filename="Endpoints-2026-03-11.csv"' in response.headers["Content-Disposition"]
    assert str(history.bad.pk) in text_of(response)


# --- making ---------------------------------------------------------------------------------------


def test_a_developer_copies_a_default_and_it_is_theirs() -> None:
    account = make_account()
    client = member(DEVELOPER, account)
    response = client.post(url("copy_default", "incoming"))
    board = Dashboard.objects.get()
    assert response.url == f"{board_of(board)}?arrange"  # type: ignore[attr-defined]
    assert (board.account, board.owner_id) == (account, int(client.session["_auth_user_id"]))
    assert board.widgets.count() == len(DEFAULTS["incoming"].widgets)
    assert AuditEntry.objects.get().action == "dashboard.created"


def test_a_copy_is_for_an_account_in_which_the_role_allows_it() -> None:
    read, foreign, mine, more = (make_account() for _ in range(4))
    client = member(DEVELOPER, mine, more)
    Membership.objects.create(account=read, user_id=client.session["_auth_user_id"], role=VIEWER)
    for account in (read.pk, foreign.pk, "", "x"):
        client.post(url("copy_default", "overview"), {"account": account})
    assert not Dashboard.objects.exists()
    client.post(url("copy_default", "overview"), {"account": mine.pk})
    assert Dashboard.objects.get().account == mine


def test_a_dashboard_is_made_renamed_and_deleted_in_the_console(console: Client) -> None:
    account = make_account()
    added = console.post(
        list_of("analytics.dashboard") + "add/",
        {"account": account.pk, "name": "Ours", "description": "", "is_shared": "on"},
    )
    board = Dashboard.objects.get()
    assert added.url == f"{board_of(board)}?arrange"  # type: ignore[attr-defined]
    assert "has no widgets yet" in text_of(console.get(board_of(board)))
    page = page_of("analytics.dashboard", board.pk)
    console.post(page, {"name": "Theirs", "description": "", "is_shared": "on"})
    board.refresh_from_db()
    assert board.name == "Theirs"
    console.post(page.replace("/change/", "/delete/"), {"post": "yes"})
    assert not Dashboard.objects.exists()
    assert [entry.action for entry in AuditEntry.objects.order_by("sequence")] == [
        "dashboard.created", "dashboard.changed", "dashboard.deleted",
    ]  # fmt: skip


def test_a_widget_is_added_changed_and_taken_away() -> None:
    board = make_dashboard()
    client = member(DEVELOPER, board.account)
    client.post(url("add_widget", board.pk), widget_form(cause="dns\ntimeout"))
    widget = Widget.objects.get(title="Failures")
    assert (widget.dimensions, widget.filters) == (["cause"], {"cause": ["dns", "timeout"]})
    page = url("edit_widget", board.pk, widget.pk)
    assert "Failures" in text_of(client.get(page))
    client.post(page, widget_form(kind="table", measures=["failed", "attempts"], compare="on"))
    widget.refresh_from_db()
    assert (widget.kind, widget.measures, widget.compare) == ("table", ["failed", "attempts"], True)
    gone = url("remove_widget", board.pk, widget.pk)
    assert client.get(gone).status_code == 200
    client.post(gone)
    assert not Widget.objects.filter(pk=widget.pk).exists()


def test_a_refusal_stands_at_its_field() -> None:
    board = make_dashboard()
    client = member(DEVELOPER, board.account)
    response = client.post(
        url("add_widget", board.pk), widget_form(kind="stacked", measures=["success_rate"])
    )
    assert response.context["form"].errors["measures"] == ["only counts and bytes can be stacked"]
    assert board.widgets.count() == 2


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        ({"kind": "forecast", "measures": ["attempts"], "dimension": ""}, "Expected"),
        ({"kind": "health", "measures": [], "dimension": "subscription"}, "Last success"),
        ({"kind": "health", "measures": [], "dimension": "source"}, "Last success"),
        ({"kind": "unused", "measures": [], "dimension": ""}, "None: every event type"),
        ({"kind": "objectives", "measures": [], "dimension": ""}, "None: add an objective"),
    ],
)
def test_lists_and_a_forecast_are_added_as_any_widget(form: dict[str, object], shown: str) -> None:
    history = make_history()
    board = make_dashboard(history.account)
    client = member(DEVELOPER, history.account)
    with time_machine.travel(NOW + timedelta(days=8), tick=False):
        client.post(url("add_widget", board.pk), widget_form(title="Mine", **form))
        assert Widget.objects.get(title="Mine").kind == form["kind"]
        page = text_of(client.get(board_of(board), {"period": "30d"}))
    assert shown in page


def test_the_preview_shows_what_the_form_asks_for_and_keeps_nothing() -> None:
    history = make_history()
    board = make_dashboard(history.account)
    client = member(DEVELOPER, history.account)
    with time_machine.travel(NOW, tick=False):
        shown = text_of(client.post(url("preview", board.pk), widget_form(title="")))
    assert "status_5xx" in shown
    refused = text_of(client.post(url("preview", board.pk), widget_form(measures=[])))
    assert "needs at least one measure" in refused
    assert board.widgets.count() == 2


def test_filters_offer_the_rows_of_the_dashboards_account_alone() -> None:
    board = make_dashboard()
    make_source(board.account, name="Our source")
    make_source(name="Their source")
    text = text_of(member(DEVELOPER, board.account).get(url("add_widget", board.pk)))
    assert "Our source" in text
    assert "Their source" not in text


def test_widgets_are_arranged_step_by_step_and_all_at_once() -> None:
    board = make_dashboard()
    first, second = board.widgets.all()
    client = member(DEVELOPER, board.account)
    page = url("arrange", board.pk)
    response = client.post(page, {"widget": str(second.pk), "move": "earlier"})
    assert response.url == f"{board_of(board)}?arrange#widget-{second.pk}"  # type: ignore[attr-defined]
    client.post(page, {"widget": str(second.pk), "move": "wider"})
    assert [(row.title, row.width) for row in board.widgets.all()] == [
        ("Over time", 3), ("Attempts", 2),
    ]  # fmt: skip
    answer = client.post(
        page, {"places": f"{first.pk}:1x1,{second.pk}:4x3"},
        headers={"accept": "application/json"},
    )  # fmt: skip
    assert answer.status_code == 200
    assert [(row.title, row.width, row.height) for row in board.widgets.all()] == [
        ("Attempts", 1, 1), ("Over time", 4, 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "places",
    [
        "", "x", "{first}:1x1", "{first}:9x1,{second}:1x1", "{first}:1x1,{first}:1x1",
        "{first}:ax1,{second}:1x1",
    ],
)  # fmt: skip
def test_an_arrangement_that_does_not_fit_is_refused(places: str) -> None:
    board = make_dashboard()
    first, second = board.widgets.all()
    answer = member(DEVELOPER, board.account).post(
        url("arrange", board.pk),
        {"places": places.format(first=first.pk, second=second.pk)},
        headers={"accept": "application/json"},
    )
    assert answer.status_code == 409
    assert answer.json()["code"] == "arrangement_not_acceptable"
    assert [row.pk for row in board.widgets.all()] == [first.pk, second.pk]


def test_a_viewer_changes_nothing() -> None:
    board = make_dashboard()
    widget = board.widgets.all()[0]
    client = member(VIEWER, board.account)
    for page in (
        url("arrange", board.pk), url("add_widget", board.pk), url("preview", board.pk),
        url("edit_widget", board.pk, widget.pk), url("remove_widget", board.pk, widget.pk),
    ):  # fmt: skip
        assert client.post(page, widget_form()).status_code == 403, page
    client.post(url("copy_default", "overview"))
    assert Dashboard.objects.count() == 1
    text = text_of(client.get(board_of(board) + "?arrange"))
    assert "Add a widget" not in text
    assert "Earlier" not in text


def test_nobody_arranges_anothers_dashboard() -> None:
    board = make_dashboard()
    widget = board.widgets.all()[0]
    other = make_dashboard()
    client = member(ADMIN, other.account)
    for page in (
        url("arrange", board.pk), url("add_widget", board.pk), url("preview", board.pk),
        url("edit_widget", board.pk, widget.pk), url("remove_widget", board.pk, widget.pk),
        url("edit_widget", other.pk, widget.pk), url("remove_widget", other.pk, widget.pk),
    ):  # fmt: skip
        for call in (client.get, client.post):
            assert call(page).status_code in (404, 405), page
    assert Widget.objects.count() == 4


def test_a_board_asks_no_other_host(console: Client) -> None:
    text = text_of(console.get(default()))
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)


# --- reports --------------------------------------------------------------------------------------


def report_form(**fields: object) -> dict[str, object]:
    return {
        "name": "Weekly", "of": "integration_health", "period": "weekly",
        "formats": ["html", "csv"], "recipients": "ann@example.com\nadmin",
        "time_zone": "Europe/Berlin", "hour": "8", "enabled": "on",
    } | fields  # fmt: skip


def test_a_report_is_made_and_changed_in_the_console(console: Client) -> None:
    account = make_account()
    board = make_dashboard(account)
    path = list_of("analytics.report") + "add/"
    console.post(path, report_form(account=account.pk))
    report = Report.objects.get()
    assert (report.subject, report.recipients) == (
        "integration_health", ["ann@example.com", "admin"],
    )  # fmt: skip
    assert report.next_run_at is not None
    page = page_of("analytics.report", report.pk)
    console.post(page, report_form(of=str(board.pk)))
    report.refresh_from_db()
    assert (report.subject, report.dashboard) == ("", board)


def test_what_is_wrong_with_a_report_stands_at_its_field(console: Client) -> None:
    account = make_account()
    theirs = make_dashboard(name="Theirs")
    response = console.post(
        list_of("analytics.report") + "add/",
        report_form(account=account.pk, of=str(theirs.pk), recipients="nobody"),
    )
    errors = response.context["adminform"].form.errors
    assert errors["of"] == ["the account has no such dashboard"]
    assert errors["recipients"] == ["'nobody' is no address and no role"]


def test_a_report_is_made_now_and_fetched() -> None:
    report = make_report()
    client = member(DEVELOPER, report.account)
    client.post(page_of("analytics.report", report.pk).replace("/change/", "/run-now/"))
    run_due_reports()
    run = ReportRun.objects.get()
    assert (run.status, run.is_sent) == ("finished", False)
    assert run.requested_by.startswith("user-")
    page = text_of(client.get(page_of("analytics.report", report.pk)))
    path = reverse("admin:analytics_reportrun_file", args=[run.pk, "csv"])
    assert path in page
    answer = client.get(path)
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.content == bytes(run.files.get().content)


def test_nobody_fetches_anothers_files() -> None:
    run = make_report_run()
    path = reverse("admin:analytics_reportrun_file", args=[run.pk, "csv"])
    assert member(VIEWER, run.account).get(path).status_code == 200
    assert member(ADMIN, make_account()).get(path).status_code == 404
    assert member(VIEWER).get(path).status_code == 403
    assert Client().get(path).status_code == 302


def test_a_file_that_is_kept_no_longer_is_not_there(console: Client) -> None:
    run = make_report_run()
    run.files.all().delete()
    path = reverse("admin:analytics_reportrun_file", args=[run.pk, "csv"])
    assert console.get(path).status_code == 404
    assert "kept no longer" in text_of(console.get(page_of("analytics.reportrun", run.pk)))


def test_the_form_of_a_report_starts_with_the_dashboard_that_it_was_opened_from(
    console: Client,
) -> None:
    board = make_dashboard()
    response = console.get(
        f"{list_of('analytics.report')}add/?of={board.pk}&account={board.account_id}&name=Ours"
    )
    form = response.context["adminform"].form
    assert str(form["of"].value()) == str(board.pk)
    assert form["name"].value() == "Ours"


def test_a_run_says_its_period_in_the_reports_time_zone(console: Client) -> None:
    run = make_report_run(
        make_report(time_zone="Asia/Tokyo"),
        since=NOW.replace(hour=15, minute=0) - timedelta(days=1),
        until=NOW.replace(hour=15, minute=0),
    )
    assert "2026-03-12" in text_of(console.get(page_of("analytics.report", run.report_id)))


def test_a_report_is_saved_with_the_dashboard_that_it_is_of(
    console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MAX_CHOICES", 1)
    account = make_account()
    make_dashboard(account, name="A first")
    board = make_dashboard(account, name="B second")
    report = make_report(account, dashboard=board)
    page = page_of("analytics.report", report.pk)
    form = console.get(page).context["adminform"].form
    assert form["of"].value() == str(board.pk)
    console.post(page, report_form(name="Renamed", of=str(board.pk)))
    report.refresh_from_db()
    assert (report.name, report.dashboard) == ("Renamed", board)


def test_nobody_fetches_the_files_of_anothers_private_dashboard() -> None:
    account = make_account()
    owner = make_user(account, Role.ADMIN)
    board = make_dashboard(account, owner=owner, is_shared=False)
    run = make_report_run(make_report(account, owner=owner, dashboard=board))
    client = member(ADMIN, account)
    path = reverse("admin:analytics_reportrun_file", args=[run.pk, "csv"])
    assert client.get(path).status_code == 404
    assert str(run.report_id) not in text_of(client.get(list_of("analytics.report")))
    assert str(run.pk) not in text_of(client.get(list_of("analytics.reportrun")))


def test_a_widget_keeps_the_filters_that_the_form_does_not_offer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(editor, "MAX_CHOICES", 1)
    board = make_dashboard()
    make_subscription(board.account, name="A first")
    beyond, gone = make_subscription(board.account, name="B second"), new_id()
    filters = {
        "account": [str(board.account_id)], "subscription": [str(beyond.pk), str(gone)],
    }  # fmt: skip
    widget = make_widget(board, filters=filters)
    client = member(DEVELOPER, board.account)
    page = url("edit_widget", board.pk, widget.pk)
    text = text_of(client.get(page))
    assert "B second" in text
    assert f"deleted (…{str(gone)[-4:]})" in text
    client.post(
        page, widget_form(kind="number", dimension="", subscription=filters["subscription"])
    )
    widget.refresh_from_db()
    assert (widget.title, widget.filters) == ("Failures", filters)
    client.post(page, widget_form(kind="number", dimension=""))
    widget.refresh_from_db()
    assert widget.filters == {"account": [str(board.account_id)]}


def test_any_account_is_looked_at_by_its_id_and_none_by_anothers(
    console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "MAX_ACCOUNTS", 2)
    for name in ("A first", "A second"):
        make_account(name=name)
    made = [make_history(), make_history()]
    with time_machine.travel(NOW, tick=False):
        for history in made:
            look = console.get(f"{default()}?account={history.account.pk}").context["look"]
            assert look.account_ids == [history.account.pk]
            assert history.account in look.accounts
        response = console.get(f"{default()}?account={new_id()}")
        assert response.context["look"].account_ids == []
        assert "There is no such account" in text_of(response)
        client = member(VIEWER, made[0].account)
        theirs = client.get(f"{default()}?account={made[1].account.pk}")
        assert theirs.context["look"].account_ids == [made[0].account.pk]


def test_only_the_owner_makes_a_dashboard_private() -> None:
    account = make_account()
    board = make_dashboard(account, owner=make_user(account, Role.ADMIN))
    page = page_of("analytics.dashboard", board.pk)
    response = member(ADMIN, account).post(page, {"name": "Board", "description": ""})
    errors = response.context["adminform"].form.errors
    assert errors["is_shared"] == ["only its owner makes it private"]
    board.refresh_from_db()
    assert board.is_shared


@pytest.mark.parametrize("model", ["analytics.rollup", "analytics.receiptrollup"])
def test_rollups_are_shown_of_one_grain_and_the_full_key(console: Client, model: str) -> None:
    make_history()
    path = list_of(model)
    response = console.get(path, follow=True)
    assert {row.grain for row in response.context["cl"].result_list} == {Grain.MINUTE}
    days = console.get(f"{path}?grain__exact={Grain.DAY.value}")
    assert {row.grain for row in days.context["cl"].result_list} == {Grain.DAY}
    for page in (response, days):
        assert {row.scope for row in page.context["cl"].result_list} == {Scope.FULL}


def test_the_runs_filter_names_no_report_of_anothers_private_dashboard(
    console: Client, operator: User
) -> None:
    account = make_account()
    ann = make_user(username="ann")
    for owner, name in ((ann, "Hers alone"), (operator, "His own")):
        board = make_dashboard(account, owner=owner, is_shared=False)
        report = make_report(account, name=name, dashboard=board)
        page = console.get(
            reverse("admin:analytics_reportrun_changelist"), {"report__id__exact": str(report.pk)}
        )
        assert page.status_code == 200
        assert (name in page.content.decode()) is (owner == operator)
