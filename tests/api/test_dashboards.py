"""Dashboards, widgets and reports over the API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from analytics.defaults import DEFAULTS
from analytics.models import Dashboard, Report, ReportRun, Widget
from analytics.reports.runs import run_due_reports
from monitoring.models import AuditEntry
from tests.analytics.history import NOW, make_history
from tests.api.calls import Api
from tests.api.rows import everything
from tests.factories import (
    make_account,
    make_api_key,
    make_dashboard,
    make_report,
    make_report_run,
    make_user,
    make_widget,
)
from webhooks_project.accounts.models import Account, Role
from webhooks_project.api.scoping import AccountScopedViewSet
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.DEVELOPER).text)


# --- dashboards and widgets -----------------------------------------------------------------------


def test_a_dashboard_is_made_filled_arranged_and_deleted(api: Api) -> None:
    made = api.post("analytics/dashboards", {"name": "Ours", "description": "For us."}).json
    assert (made["name"], made["is_shared"], made["owner"], made["widgets"]) == (
        "Ours", True, None, [],
    )  # fmt: skip
    one, two = (
        api.post("analytics/widgets", {
            "dashboard": made["id"], "title": title, "kind": "table",
            "measures": ["attempts"], "dimensions": ["subscription"],
            "filters": {"cause": ["dns"]}, "limit": 5, "compare": True,
        }).json
        for title in ("One", "Two")
    )  # fmt: skip
    assert (one["position"], two["position"], two["filters"]) == (0, 1, {"cause": ["dns"]})
    changed = api.patch(f"analytics/widgets/{one['id']}", {"title": "First"})
    assert changed.json["title"] == "First"
    places = [{"id": row["id"], "width": 4, "height": 1} for row in (two, one)]
    arranged = api.post(f"analytics/dashboards/{made['id']}/arrange", {"widgets": places}).json
    assert [(row["title"], row["width"]) for row in arranged["widgets"]] == [
        ("Two", 4), ("First", 4),
    ]  # fmt: skip
    assert api.delete(f"analytics/widgets/{two['id']}").status == 204
    assert [row["title"] for row in api.get(f"analytics/dashboards/{made['id']}").json["widgets"]] \
        == ["First"]  # fmt: skip
    assert api.delete(f"analytics/dashboards/{made['id']}").status == 204
    assert not Widget.objects.exists()


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"title": "x", "kind": "pie"}, {"/kind": "invalid_choice"}),
        ({"title": "x", "kind": "number", "measures": 3}, {"/measures": "not_a_list"}),
        ({"title": "x", "kind": "number", "filters": [1]}, {"/filters": "not_a_dict"}),
        ({"title": "x", "kind": "number", "width": 9}, {"/width": "max_value"}),
    ],
)
def test_says_what_is_malformed(
    api: Api, account: Account, body: dict[str, Any], errors: dict[str, str]
) -> None:
    board = make_dashboard(account)
    answer = api.post("analytics/widgets", {"dashboard": str(board.pk), **body})
    assert answer.errors == errors
    assert board.widgets.count() == 2


def test_says_what_cannot_be_drawn(api: Api, account: Account) -> None:
    board = make_dashboard(account)
    answer = api.post(
        "analytics/widgets",
        {"dashboard": str(board.pk), "title": "x", "kind": "stacked", "measures": ["total_p50_ms"]},
    )
    assert (answer.status, answer.code) == (400, "widget_not_acceptable")
    assert answer.json["errors"] == [
        {"path": "/measures", "code": "not_additive",
         "message": "only counts and bytes can be stacked"}
    ]  # fmt: skip


def test_an_arrangement_of_what_is_not_there_is_refused(api: Api, account: Account) -> None:
    board = make_dashboard(account)
    places = [{"id": str(new_id()), "width": 1, "height": 1}]
    answer = api.post(f"analytics/dashboards/{board.pk}/arrange", {"widgets": places})
    assert answer.code == "arrangement_not_acceptable"


def test_a_key_makes_no_private_dashboard(api: Api) -> None:
    answer = api.post("analytics/dashboards", {"name": "Mine", "is_shared": False})
    assert answer.code == "dashboard_not_acceptable"
    assert answer.json["errors"][0]["code"] == "needs_an_owner"
    assert not Dashboard.objects.exists()


def test_a_private_dashboard_is_its_owners_alone(account: Account) -> None:
    ann, bob = make_user(account, Role.DEVELOPER), make_user(account, Role.ADMIN)
    made = Api(user=ann).post("analytics/dashboards", {"name": "Mine", "is_shared": False}).json
    widget = make_widget(Dashboard.objects.get())
    boss = make_user(is_superuser=True, is_staff=True)
    for other in (Api(user=bob), Api(user=boss), Api(make_api_key(account, Role.ADMIN).text)):
        before = everything()
        assert other.get("analytics/dashboards").rows == []
        assert other.get("analytics/widgets").rows == []
        for path in (f"analytics/dashboards/{made['id']}", f"analytics/widgets/{widget.pk}"):
            assert other.get(path).status == 404
            assert other.patch(path, {"name": "Ours"}).status == 404
            assert other.delete(path).status == 404
        assert everything() == before
    assert Api(user=ann).get("analytics/dashboards").rows[0]["id"] == made["id"]


def test_no_widget_of_another_account_is_listed_and_none_is_added(api: Api) -> None:
    board = make_dashboard()
    assert api.get("analytics/widgets").rows == []
    assert api.get(f"analytics/widgets?dashboard={board.pk}").rows == []
    before = everything()
    for key in (board.pk, new_id()):
        answer = api.post(
            "analytics/widgets",
            {"dashboard": str(key), "title": "x", "kind": "number", "measures": ["attempts"]},
        )
        assert answer.errors == {"/dashboard": "does_not_exist"}
    assert everything() == before


def test_widgets_of_one_dashboard(api: Api, account: Account) -> None:
    first, second = make_dashboard(account), make_dashboard(account)
    assert len(api.get("analytics/widgets").rows) == 4
    rows = api.get(f"analytics/widgets?dashboard={first.pk}").rows
    assert {row["dashboard"] for row in rows} == {str(first.pk)}
    assert second.widgets.count() == 2


def test_a_role_in_one_account_adds_nothing_in_another(account: Account) -> None:
    user = make_user(account, Role.DEVELOPER)
    other = make_account()
    user.memberships.create(account=other, role=Role.VIEWER)
    board = make_dashboard(other)
    body = {"dashboard": str(board.pk), "title": "x", "kind": "number", "measures": ["attempts"]}
    assert Api(user=user).post("analytics/widgets", body).status == 403
    assert Api(user=user).post(f"analytics/dashboards/{board.pk}/copy", {}).status == 403
    assert Widget.objects.count() == 2


# --- figures --------------------------------------------------------------------------------------


def test_the_figures_of_a_dashboard() -> None:
    history = make_history()
    board = make_dashboard(history.account)
    make_widget(board, title="By endpoint", kind="table", dimensions=["subscription"], position=5)
    make_widget(board, title="Hours", kind="heat_map", measures=["receipts"], position=6)
    make_widget(board, title="No way", kind="table", measures=["receipts"],
                dimensions=["subscription"], position=7)  # fmt: skip
    api = Api(make_api_key(history.account, Role.VIEWER).text)
    with time_machine.travel(NOW, tick=False):
        answer = api.get(f"analytics/dashboards/{board.pk}/data?period=24h")
    assert answer.json["since"] == "2026-03-11T15:00:00Z"
    assert answer.json["until"] == "2026-03-12T14:31:00Z"
    number, line, table, hours, broken = answer.json["widgets"]
    assert number["rows"][0]["values"] == {"attempts": history.attempts}
    assert (line["granularity"], len(line["rows"])) == ("hour", 24)
    assert {row["names"]["subscription"] for row in table["rows"]} == {"Billing", "Warehouse"}
    assert sum(row["values"]["receipts"] for row in hours["rows"]) == history.receipts
    assert {row["hour_of_week"] for row in hours["rows"]} <= set(range(168))
    assert broken["problem"]
    assert broken["rows"] == []


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ("period=1h", "2026-03-12T13:31:00Z", "2026-03-12T14:31:00Z"),
        ("period=7d&time_zone=Europe/Berlin", "2026-03-05T23:00:00Z", "2026-03-12T14:31:00Z"),
        ("since=2026-03-01T00:00:00&until=2026-03-02T00:00:00&time_zone=Europe/Berlin",
         "2026-02-28T23:00:00Z", "2026-03-01T23:00:00Z"),
        ("since=2026-03-01T00:00:00Z&until=2026-03-02T00:00:00%2B01:00&time_zone=Asia/Tokyo",
         "2026-03-01T00:00:00Z", "2026-03-01T23:00:00Z"),
    ],
)  # fmt: skip
def test_the_period_that_is_asked_for(api: Api, query: str, since: str, until: str) -> None:
    with time_machine.travel(NOW, tick=False):
        answer = api.get(f"analytics/default-dashboards/incoming/data?{query}")
    assert (answer.json["since"], answer.json["until"]) == (since, until)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("period=2w", "invalid"),
        ("since=2026-03-01T00:00:00Z", "invalid"),
        ("since=yesterday&until=today", "invalid"),
        ("since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "period_not_acceptable"),
        ("since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z", "period_not_acceptable"),
        ("since=2020-01-01T00:00:00Z&until=2026-01-01T00:00:00Z", "period_not_acceptable"),
        ("time_zone=Mars/Olympus", "time_zone_unknown"),
        ("time_zone=../../etc/passwd", "time_zone_unknown"),
        ("account=x", "invalid"),
    ],
)
def test_refuses_a_period_that_cannot_be(api: Api, query: str, code: str) -> None:
    answer = api.get(f"analytics/default-dashboards/overview/data?{query}")
    assert (answer.status, answer.code) == (400, code)


def test_the_time_zone_is_the_users_else_the_accounts() -> None:
    account = make_account(time_zone="Asia/Tokyo")
    user = make_user(account)
    api, path = Api(user=user), "analytics/default-dashboards/overview/data"
    assert api.get(path).json["time_zone"] == "Asia/Tokyo"
    user.time_zone = "Europe/Berlin"
    user.save()
    assert api.get(path).json["time_zone"] == "Europe/Berlin"
    assert api.get(f"{path}?time_zone=UTC").json["time_zone"] == "UTC"


def test_an_account_says_its_time_zone() -> None:
    account = make_account()
    api = Api(make_api_key(account, Role.ADMIN).text)
    assert api.patch(f"accounts/{account.pk}", {"time_zone": "Mars"}).status == 400
    assert api.patch(f"accounts/{account.pk}", {"time_zone": "Asia/Tokyo"}).json["time_zone"] == (
        "Asia/Tokyo"
    )


# --- defaults -------------------------------------------------------------------------------------


def test_every_account_has_default_dashboards(api: Api) -> None:
    found = api.get("analytics/default-dashboards").json
    assert [row["key"] for row in found] == list(DEFAULTS)
    one = api.get("analytics/default-dashboards/endpoints").json
    assert [row["title"] for row in one["widgets"]] == [
        spec.title for spec in DEFAULTS["endpoints"].widgets
    ]
    for path in ("weather", "weather/data"):
        assert api.get(f"analytics/default-dashboards/{path}").status == 404
    assert api.post("analytics/default-dashboards/weather/copy", {}).status == 404


def test_a_default_is_of_the_callers_accounts_alone() -> None:
    mine, theirs = make_history(), make_history()
    user = make_user(mine.account)
    path = "analytics/default-dashboards/overview/data?period=24h"
    with time_machine.travel(NOW, tick=False):
        for api in (Api(user=user), Api(make_api_key(mine.account, Role.VIEWER).text)):
            number = api.get(path).json["widgets"][0]
            assert number["rows"][0]["values"]["attempts"] == mine.attempts
            assert api.get(f"{path}&account={theirs.account.pk}").status == 404
            assert api.get(f"{path}&account={new_id()}").status == 404
        staff = Api(user=make_user(is_superuser=True, is_staff=True))
        number = staff.get(path).json["widgets"][0]
        assert number["rows"][0]["values"]["attempts"] == mine.attempts + theirs.attempts
        number = staff.get(f"{path}&account={theirs.account.pk}").json["widgets"][0]
        assert number["rows"][0]["values"]["attempts"] == theirs.attempts


def test_a_default_is_copied_to_be_changed(api: Api, account: Account) -> None:
    made = api.post("analytics/default-dashboards/overview/copy", {"name": "Ours"})
    assert (made.status, made.json["name"], made.json["account"]) == (
        201, "Ours", str(account.pk),
    )  # fmt: skip
    assert len(made.json["widgets"]) == len(DEFAULTS["overview"].widgets)
    widget = made.json["widgets"][0]
    assert api.patch(f"analytics/widgets/{widget['id']}", {"title": "Sent"}).status == 200


# --- reports --------------------------------------------------------------------------------------


def test_a_report_is_made_run_and_fetched(api: Api) -> None:
    made = api.post("analytics/reports", {
        "name": "Weekly", "subject": "integration_health", "period": "weekly",
        "formats": ["html", "csv"], "recipients": ["ann@example.com"],
        "time_zone": "Europe/Berlin", "hour": 7,
    })  # fmt: skip
    assert made.status == 201
    assert made.json["next_run_at"]
    run = api.post(f"analytics/reports/{made.json['id']}/run", {
        "since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z",
    })  # fmt: skip
    assert (run.status, run.json["status"], run.json["is_sent"]) == (201, "pending", False)
    run_due_reports()
    done = api.get(f"analytics/report-runs/{run.json['id']}").json
    assert (done["status"], done["requested_by"]) == ("finished", "test")
    assert [file["format"] for file in done["files"]] == ["csv", "html"]
    file = api.get(f"analytics/report-runs/{run.json['id']}/files/csv")
    assert file.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert file.headers["Content-Disposition"].startswith("attachment;")
    assert file.text.startswith("\ufeffwidget,from,")
    assert api.get(f"analytics/report-runs/{run.json['id']}/files/pdf").status == 404


def test_a_report_is_of_no_dashboard_of_another_account(api: Api) -> None:
    board = make_dashboard()
    for key in (board.pk, new_id()):
        answer = api.post(
            "analytics/reports",
            {"name": "x", "dashboard": str(key), "formats": ["csv"], "recipients": ["admin"]},
        )
        assert answer.errors == {"/dashboard": "does_not_exist"}
    assert not Report.objects.exists()


def test_a_report_that_cannot_be_is_refused(api: Api) -> None:
    answer = api.post("analytics/reports", {"name": "x", "subject": "weather", "formats": ["doc"],
                                            "recipients": ["nobody"]})  # fmt: skip
    assert answer.code == "report_not_acceptable"
    assert {error["path"] for error in answer.json["errors"]} == {
        "/subject", "/formats/0", "/recipients/0",
    }  # fmt: skip


def test_too_many_runs_wait(api: Api, account: Account) -> None:
    report = make_report(account)
    statuses = [api.post(f"analytics/reports/{report.pk}/run", {}).status for _ in range(6)]
    assert statuses == [201] * 5 + [409]
    assert ReportRun.objects.count() == 5


def test_runs_are_found_by_their_report_and_state(api: Api, account: Account) -> None:
    one, two = make_report_run(make_report(account)), make_report_run(make_report(account))
    two.status = "failed"
    two.save()
    for query, row in ((f"report={one.report_id}", one), ("status=failed", two)):
        rows = api.get(f"analytics/report-runs?{query}").rows
        assert [found["id"] for found in rows] == [str(row.pk)], query


def test_a_report_that_is_changed_keeps_its_account(api: Api, account: Account) -> None:
    report = make_report(account)
    answer = api.patch(f"analytics/reports/{report.pk}", {"enabled": True, "hour": 9})
    assert answer.status == 200
    assert answer.json["next_run_at"] is not None
    later = NOW + timedelta(days=400)
    with time_machine.travel(later, tick=False):
        run_due_reports()
    assert ReportRun.objects.count() == 1


def test_reports_of_a_private_dashboard_are_its_owners_alone(account: Account) -> None:
    ann, bob = make_user(account, Role.DEVELOPER), make_user(account, Role.ADMIN)
    board = make_dashboard(account, owner=ann, is_shared=False)
    run = make_report_run(make_report(account, owner=ann, dashboard=board))
    paths = (
        f"analytics/reports/{run.report_id}", f"analytics/report-runs/{run.pk}",
        f"analytics/report-runs/{run.pk}/files/csv",
    )  # fmt: skip
    for other in (Api(user=bob), Api(make_api_key(account, Role.ADMIN).text)):
        assert other.get("analytics/reports").rows == []
        assert other.get("analytics/report-runs").rows == []
        assert [other.get(path).status for path in paths] == [404] * 3
    assert [Api(user=ann).get(path).status for path in paths] == [200] * 3
    assert len(Api(user=ann).get("analytics/report-runs").rows) == 1


def test_nobody_makes_anothers_dashboard_private(api: Api, account: Account) -> None:
    ann, bob = make_user(account, Role.DEVELOPER), make_user(account, Role.DEVELOPER)
    board = make_dashboard(account, owner=ann)
    path = f"analytics/dashboards/{board.pk}"
    for other in (api, Api(user=bob)):
        answer = other.patch(path, {"is_shared": False, "name": "Mine"})
        assert answer.code == "dashboard_not_acceptable"
        [error] = answer.json["errors"]
        assert (error["path"], error["code"]) == ("/is_shared", "not_its_owner")
    board.refresh_from_db()
    assert (board.is_shared, board.name) == (True, "Board")
    assert Api(user=ann).patch(path, {"is_shared": False}).json["is_shared"] is False


# --- what somebody else deletes meanwhile ---------------------------------------------------------


@pytest.mark.parametrize(
    ("of", "method", "path", "body"),
    [
        ("dashboard", "patch", "analytics/dashboards/{dashboard}", {"name": "New"}),
        ("dashboard", "delete", "analytics/dashboards/{dashboard}", None),
        ("dashboard", "post", "analytics/dashboards/{dashboard}/arrange", {"widgets": []}),
        ("dashboard", "patch", "analytics/widgets/{widget}", {"title": "New"}),
        ("widget", "patch", "analytics/widgets/{widget}", {"title": "New"}),
        ("widget", "delete", "analytics/widgets/{widget}", None),
        ("report", "patch", "analytics/reports/{report}", {"name": "New"}),
        ("report", "delete", "analytics/reports/{report}", None),
        ("report", "post", "analytics/reports/{report}/run", {}),
    ],
)
def test_what_was_deleted_meanwhile_is_not_found(
    api: Api, account: Account, monkeypatch: pytest.MonkeyPatch, of: str, method: str, path: str,
    body: Any,
) -> None:  # fmt: skip
    dashboard = make_dashboard(account)
    rows: dict[str, Any] = {
        "dashboard": dashboard, "widget": dashboard.widgets.first(), "report": make_report(account),
    }  # fmt: skip
    checked = AccountScopedViewSet.check_object_permissions

    def delete_then_check(self: Any, request: Any, row: Any) -> None:
        checked(self, request, row)
        type(rows[of]).objects.filter(pk=rows[of].pk).delete()

    monkeypatch.setattr(AccountScopedViewSet, "check_object_permissions", delete_then_check)
    entries = AuditEntry.objects.count()
    url = path.format(**{name: row.pk for name, row in rows.items()})
    answered = getattr(api, method)(url, *([] if body is None else [body]))
    assert (answered.status, answered.json["code"]) == (404, "not_found")
    assert AuditEntry.objects.count() == entries
