"""Subscriptions and event types, by way of the API."""

from __future__ import annotations

from typing import Any

import pytest

from monitoring.models import AuditEntry
from outgoing.models import Delivery
from subscriptions import services
from subscriptions.models import EventSchema, EventType, SigningSecret, Subscription
from tests.api.calls import Api
from tests.factories import make_account, make_api_key, make_delivery, make_event, make_subscription
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:8009/hook"
NEW = {"name": "Shop", "url": URL, "event_types": ["invoice.*", "order.made"]}


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account).text)


def test_creates_one_and_shows_it(api: Api, account: Account) -> None:
    answer = api.post("subscriptions", {**NEW, "description": "d", "timeout_seconds": 5})
    assert answer.status == 201
    row = Subscription.objects.get()
    shown = {key: value for key, value in answer.json.items() if key != "secret"}
    assert shown == api.get(f"subscriptions/{row.pk}").json
    assert shown["event_types"] == ["invoice.*", "order.made"]
    assert (row.account, row.name, row.url) == (account, "Shop", URL)
    assert (row.description, row.timeout_seconds, row.max_in_flight) == ("d", 5, None)
    assert row.status == shown["status"] == "verifying"
    assert SigningSecret.objects.get().secret == answer.json["secret"]


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"name": ""}, {"/name"}),
        ({"name": "x" * 201}, {"/name"}),
        ({"url": ""}, {"/url"}),
        ({"event_types": []}, {"/event_types"}),
        ({"event_types": "*"}, {"/event_types"}),
        ({"event_types": ["a"] * 201}, {"/event_types"}),
        ({"timeout_seconds": 0}, {"/timeout_seconds"}),
        ({"timeout_seconds": 61}, {"/timeout_seconds"}),
        ({"max_in_flight": 0}, {"/max_in_flight"}),
        ({"max_in_flight": 1001}, {"/max_in_flight"}),
    ],
)
def test_refuses_what_is_out_of_bounds(api: Api, change: Any, errors: set[str]) -> None:
    assert set(api.post("subscriptions", {**NEW, **change}).errors) == errors
    assert not Subscription.objects.exists()
    assert not AuditEntry.objects.filter(action="subscription.created").exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [("http://10.0.0.1/", "forbidden_address"), ("ftp://x", "scheme_not_allowed")],
)
def test_refuses_an_endpoint_with_its_problem(api: Api, url: str, problem: str) -> None:
    answer = api.post("subscriptions", {**NEW, "url": url})
    assert (answer.status, answer.code) == (400, "endpoint_not_acceptable")
    assert answer.json["problem"] == problem
    assert not Subscription.objects.exists()


def test_takes_nothing_that_is_not_the_caller_s_to_set(api: Api) -> None:
    answer = api.post(
        "subscriptions",
        {**NEW, "status": "archived", "id": "01890000-0000-7000-8000-000000000000",
         "created_at": "2000-01-01T00:00:00Z", "paused_at": "2000-01-01T00:00:00Z",
         "secret": "whsec_mine"},
    )  # fmt: skip
    assert answer.status == 201
    row = Subscription.objects.get()
    assert (row.status, row.paused_at) == ("verifying", None)
    assert str(row.pk) != "01890000-0000-7000-8000-000000000000"
    assert row.created_at.year > 2000
    assert answer.json["secret"] != "whsec_mine"


def test_changes_what_is_named(api: Api, account: Account) -> None:
    row = make_subscription(account, event_types=("a",))
    answer = api.patch(f"subscriptions/{row.pk}", {"name": "New", "event_types": ["b"]})
    assert (answer.status, answer.json["name"], answer.json["event_types"]) == (200, "New", ["b"])
    row.refresh_from_db()
    assert (row.name, row.url) == ("New", "http://127.0.0.1:9/hook")


def test_a_change_of_its_types_leaves_the_status_alone(
    api: Api, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row is read before it is changed: somebody may pause it in between."""
    row = make_subscription(account)
    monkeypatch.setattr(
        services, "_check", lambda **_: Subscription.objects.update(status="paused")
    )
    assert api.patch(f"subscriptions/{row.pk}", {"event_types": ["b"]}).status == 200
    assert Subscription.objects.get().status == "paused"


def test_deleting_archives(api: Api, account: Account) -> None:
    row = make_subscription(account)
    delivery = make_delivery(make_event(account), row)
    assert api.delete(f"subscriptions/{row.pk}").status == 204
    row.refresh_from_db()
    assert row.status == "archived"
    assert Delivery.objects.get() == delivery
    assert api.get(f"subscriptions/{row.pk}").json["status"] == "archived"


def test_pauses_disables_and_resumes(account: Account) -> None:
    api = Api(make_api_key(account, "operator").text)
    row = make_subscription(account)
    for verb, status in (("pause", "paused"), ("disable", "disabled"), ("resume", "active")):
        answer = api.post(f"subscriptions/{row.pk}/{verb}")
        assert (answer.status, answer.json["status"]) == (200, status)
    actions = AuditEntry.objects.order_by("sequence").values_list("action", flat=True)
    assert list(actions)[1:] == [
        "subscription.paused",
        "subscription.disabled",
        "subscription.active",
    ]


def test_rotates_its_secret(api: Api, account: Account) -> None:
    row = make_subscription(account)
    answer = api.post(f"subscriptions/{row.pk}/rotate-secret")
    assert answer.json["public_key"] == ""
    assert set(answer.json) == {"secret", "public_key"}
    shown = api.get(f"subscriptions/{row.pk}").json["secrets"]
    assert [secret["expires_at"] is None for secret in shown] == [True, False]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_closing_slash_is_optional(api: Api, slash: str) -> None:
    answer = api.post(f"subscriptions{slash}", NEW)
    assert answer.status == 201
    key = answer.json["id"]
    assert api.get(f"subscriptions/{key}{slash}").status == 200
    assert api.get(f"subscriptions{slash}?status=active").status == 200
    assert api.post(f"subscriptions/{key}/rotate-secret{slash}").status == 200
    assert api.get(f"monitoring/queues{slash}").status == 200
    assert api.get(f"analytics/overview{slash}").status == 200
    assert api.post(f"validation/url{slash}", {"url": URL}).status == 200


# --- event types ----------------------------------------------------------------------------------


def test_the_catalogue(api: Api, account: Account) -> None:
    made = api.post("subscriptions/event-types", {"name": "order.made", "description": "d"})
    assert (made.status, made.json["account"]) == (201, str(account.pk))
    path = f"subscriptions/event-types/{made.json['id']}"
    schema = {"type": "object", "required": ["id"]}
    added = api.post(f"{path}/schemas", {"schema": schema, "examples": [{"id": 1}]})
    assert (added.status, added.json["version"]) == (201, 1)
    next_one = {"schema": True, "allow_breaking": True}
    assert api.post(f"{path}/schemas", next_one).json["version"] == 2
    shown = api.get(path).json
    assert [item["version"] for item in shown["schemas"]] == [2, 1]
    assert shown["schemas"][1]["schema"] == schema
    assert api.patch(path, {"schema_mode": "off"}).json["schema_mode"] == "off"
    assert api.delete(path).status == 204
    assert not EventType.objects.exists()
    assert not EventSchema.objects.exists()


def test_a_type_that_is_there_already_is_a_conflict(api: Api, account: Account) -> None:
    body = {"name": "a", "account": str(account.pk)}
    assert api.post("subscriptions/event-types", body).status == 201
    answer = api.post("subscriptions/event-types", body)
    assert (answer.status, answer.code) == (409, "event_type_exists")
    assert EventType.objects.count() == 1


def test_a_type_s_name_stays(api: Api) -> None:
    made = api.post("subscriptions/event-types", {"name": "a"})
    answer = api.patch(f"subscriptions/event-types/{made.json['id']}", {"name": "b"})
    assert (answer.status, answer.code) == (409, "state_not_allowed")
    assert EventType.objects.get().name == "a"


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, 5, "x", None, {"$ref": "http://x.test/"}])
def test_what_is_no_schema_is_refused(api: Api, schema: Any) -> None:
    made = api.post("subscriptions/event-types", {"name": "a"})
    answer = api.post(f"subscriptions/event-types/{made.json['id']}/schemas", {"schema": schema})
    assert set(answer.errors) == {"/schema"}
    assert not EventSchema.objects.exists()
