"""Bulk jobs, imports and exports over HTTP."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson
import pytest

from subscriptions.bulk import files
from subscriptions.bulk.carrying import run_jobs
from subscriptions.models import BulkJob, SigningSecret, Subscription
from tests.api.calls import Api
from tests.api.routes import URL
from tests.factories import make_account, make_api_key, make_subscription, make_user
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

NEW = {"name": "new", "url": URL, "event_types": ["a"]}


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.OPERATOR).text)


def posted(api: Api, content: bytes, content_type: str = "text/csv", query: str = "") -> Any:
    return api.post(f"subscriptions/import{query}", raw=content, content_type=content_type)


def test_imports_what_was_exported(api: Api, account: Account) -> None:
    make_subscription(account, name="=1", labels={"a": "b"})
    make_subscription(account, status="archived")
    make_subscription(name="another's")
    csv, json = ("csv", "text/csv"), ("json", "application/json")
    for option, (form, content_type) in (("as", csv), ("as", json), ("format", csv)):
        exported = api.get(f"subscriptions/export?{option}={form}")
        assert exported.headers["Content-Type"] == content_type
        assert exported.headers["Content-Disposition"] == (
            f'attachment; filename="subscriptions.{form}"'
        )
        answer = posted(api, exported.text.encode(), content_type)
        assert answer.status == 201
        run_jobs(10)
        job = api.get(f"subscriptions/bulk-jobs/{answer.json['id']}").json
        assert (job["status"], job["line_count"], job["unchanged_count"]) == ("finished", 1, 1)


def test_the_export_takes_the_filters_of_the_list(api: Api, account: Account) -> None:
    make_subscription(account, name="a", status="paused")
    make_subscription(account, name="b", status="archived")
    make_subscription(account, name="c", event_types=("x.y",))
    for query, names in (
        ("", ["a", "c"]),
        ("?status=paused", ["a"]),
        ("?status=archived", ["b"]),
        ("?event_type=x.y", ["c"]),
        (f"?account={make_account().pk}", []),
    ):
        rows = orjson.loads(api.get(f"subscriptions/export{query}").text)
        assert [row["name"] for row in rows] == names, query
    assert set(api.get("subscriptions/export?as=xml").errors) == {"/as"}
    assert set(api.get("subscriptions/export?format=xml").errors) == {"/format"}
    assert set(api.get("subscriptions/export?as=csv&format=json").errors) == {"/format"}


def test_a_dry_run_is_shown_line_by_line_and_then_started(api: Api, account: Account) -> None:
    present = make_subscription(account, name="old")
    body = [NEW, {"id": str(present.pk), "name": "changed"}, {**NEW, "url": "ftp://x"}]
    job = api.post("subscriptions/import?dry_run=true", body).json
    path = f"subscriptions/bulk-jobs/{job['id']}"
    assert (job["status"], job["dry_run"]) == ("running", True)
    run_jobs(10)
    assert api.get(path).json["status"] == "planned"
    first, second, third = api.get(f"{path}/lines").rows
    assert (first["number"], first["outcome"], first["subscription"]) == (1, "created", None)
    assert second == {
        "number": 2,
        "subscription": str(present.pk),
        "outcome": "changed",
        "changes": {"name": ["old", "changed"]},
        "problems": [],
    }
    assert (third["outcome"], third["problems"][0]["path"]) == ("refused", "/url")
    assert list(Subscription.objects.values_list("name", flat=True)) == ["old"]

    assert api.post(f"{path}/start").json["status"] == "running"
    run_jobs(10)
    done = api.get(path).json
    assert (done["status"], done["created_count"], done["refused_count"]) == ("finished", 1, 1)
    rows = list(csv.DictReader(io.StringIO(api.get(f"{path}/results").text)))
    assert [(row["line"], row["outcome"]) for row in rows] == [
        ("1", "created"), ("2", "changed"), ("3", "refused"),
    ]  # fmt: skip
    assert api.post(f"{path}/start").status == 409


def test_new_secrets_are_fetched_once(api: Api) -> None:
    path = f"subscriptions/bulk-jobs/{api.post('subscriptions/import', [NEW]).json['id']}"
    run_jobs(10)
    secret = SigningSecret.objects.get()
    for part in ("", "/lines", "/results"):
        assert secret.secret not in api.get(path + part).text
    assert api.post(f"{path}/secrets").json == [
        {"number": 1, "subscription": str(secret.subscription_id), "secret": secret.secret}
    ]
    assert api.post(f"{path}/secrets").json == []


@pytest.mark.parametrize(
    ("content", "content_type", "detail", "line"),
    [
        (b"name,nam\na,b", "text/csv", "line 1: there is no column 'nam'", 1),
        (b"name,url\na", "text/csv", "line 2: has 1 cells where the header has 2", 2),
        (b'[{"nam": 1}]', "application/json", "line 1: there is no column 'nam'", 1),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(
    api: Api, content: bytes, content_type: str, detail: str, line: int | None
) -> None:
    answer = posted(api, content, content_type)
    assert (answer.status, answer.code) == (400, "file_not_acceptable")
    assert (answer.json["detail"], answer.json.get("line")) == (detail, line)
    assert BulkJob.objects.count() == 0


def test_a_file_of_another_kind_or_too_large_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert posted(api, b"a", "text/plain").status == 415
    monkeypatch.setattr("subscriptions.api.bulk.MAX_FILE_BYTES", 4)
    answer = posted(api, b"name\n")
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert files.MAX_FILE_BYTES == 10 * 1024 * 1024
    assert BulkJob.objects.count() == 0


def test_all_or_nothing(api: Api) -> None:
    job = api.post("subscriptions/import?all_or_nothing=true", [NEW, {"name": "x"}]).json
    run_jobs(10)
    done = api.get(f"subscriptions/bulk-jobs/{job['id']}").json
    assert (done["status"], done["error"]) == ("failed", "1 refused; nothing was changed")
    assert Subscription.objects.count() == 0


def test_pauses_by_filter(api: Api, account: Account) -> None:
    mine = make_subscription(account, labels={"team": "x"})
    others = [make_subscription(account), make_subscription(labels={"team": "x"})]
    answer = api.post(
        "subscriptions/bulk-jobs",
        {
            "action": "pause",
            "filter": {"labels": {"team": "x"}, "statuses": ["active"]},
            "settings": {"reason": "maintenance"},
        },
    )
    assert (answer.status, answer.json["line_count"]) == (201, 1)
    assert answer.json["filter"] == {"labels": {"team": "x"}, "statuses": ["active"]}
    run_jobs(10)
    mine.refresh_from_db()
    assert (mine.status, mine.status_reason) == ("paused", "maintenance")
    assert {Subscription.objects.get(pk=row.pk).status for row in others} == {"active"}


def test_a_running_job_is_cancelled(api: Api, account: Account) -> None:
    subscription = make_subscription(account)
    body = {"action": "pause", "filter": {"ids": [str(subscription.pk)]}}
    job = api.post("subscriptions/bulk-jobs", body).json
    cancelled = api.post(f"subscriptions/bulk-jobs/{job['id']}/cancel").json
    assert (cancelled["status"], cancelled["done_count"]) == ("cancelled", 0)
    run_jobs(10)
    subscription.refresh_from_db()
    assert subscription.status == "active"


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"action": "import", "filter": {"statuses": ["active"]}}, "/action"),
        ({"action": "explode", "filter": {"statuses": ["active"]}}, "/action"),
        ({"action": "pause"}, "/filter"),
        ({"action": "pause", "filter": {"statuses": ["gone"]}}, "/filter/statuses/0"),
        (
            {"action": "rotate", "filter": {"statuses": ["active"]},
             "settings": {"grace_seconds": 604801}},
            "/settings/grace_seconds",
        ),
        (
            {"action": "move", "filter": {"statuses": ["active"]}, "settings": {"url_from": "a"}},
            "/settings/url_to",
        ),
    ],
)  # fmt: skip
def test_refuses_what_is_no_job(api: Api, body: dict[str, Any], path: str) -> None:
    (found,) = api.post("subscriptions/bulk-jobs", body).errors
    assert found.startswith(path)
    assert BulkJob.objects.count() == 0


def test_an_empty_filter_is_refused(api: Api) -> None:
    answer = api.post("subscriptions/bulk-jobs", {"action": "archive", "filter": {}})
    assert (answer.status, answer.code) == (400, "bulk_not_acceptable")


# --- who may --------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["pause", "resume", "disable"])
def test_a_job_needs_the_role_that_its_action_needs(account: Account, action: str) -> None:
    developer = Api(make_api_key(account, Role.DEVELOPER).text)
    operator = Api(make_api_key(account, Role.OPERATOR).text)
    body = {"action": action, "filter": {"statuses": ["active"]}}
    assert developer.post("subscriptions/bulk-jobs", body).status == 403
    assert BulkJob.objects.count() == 0
    job = operator.post("subscriptions/bulk-jobs", body).json
    for verb in ("start", "cancel", "secrets"):
        assert developer.post(f"subscriptions/bulk-jobs/{job['id']}/{verb}").status == 403
    assert developer.get(f"subscriptions/bulk-jobs/{job['id']}").status == 200


def test_nothing_is_imported_into_another_account(api: Api) -> None:
    answer = api.post(f"subscriptions/import?account={make_account().pk}", [NEW])
    assert answer.errors == {"/account": "does_not_exist"}
    assert BulkJob.objects.count() == 0


# --- keys and members -----------------------------------------------------------------------------


def test_a_key_is_made_shown_once_and_revoked(account: Account) -> None:
    admin = Api(make_api_key(account, Role.ADMIN).text)
    made = admin.post("api-keys", {"name": "robot", "scopes": ["operator"]}).json
    robot = Api(made["key"])
    assert robot.get("subscriptions").status == 200
    assert made["key"] not in admin.get("api-keys").text
    assert admin.post(f"api-keys/{made['id']}/revoke").json["revoked_at"] is not None
    assert robot.get("subscriptions").status == 401
    assert set(admin.post("api-keys", {"name": "x", "scopes": ["root"]}).errors) == {"/scopes/0"}
    assert set(admin.post("api-keys", {"name": "x", "scopes": []}).errors) == {"/scopes"}


def test_members_are_set_and_ended(account: Account, django_user_model: Any) -> None:
    admin = Api(make_api_key(account, Role.ADMIN).text)
    make_user(account, Role.ADMIN)  # who stays
    ann = django_user_model.objects.create(username="ann")
    made = admin.post("members", {"user": "ann", "role": "viewer"}).json
    assert (made["user"], made["role"]) == ("ann", "viewer")
    again = admin.post("members", {"user": "ann", "role": "admin"}).json
    assert (again["id"], ann.memberships.get().role) == (made["id"], "admin")
    assert admin.delete(f"members/{made['id']}").status == 204
    assert not ann.memberships.exists()
    unknown = admin.post("members", {"user": "bob", "role": "viewer"})
    assert (unknown.status, unknown.code) == (400, "member_not_found")
    assert set(admin.post("members", {"user": "ann"}).errors) == {"/role"}
