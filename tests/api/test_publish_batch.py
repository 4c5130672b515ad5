"""Many events by one request, each with a result of its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from outgoing.models import Delivery, Event
from subscriptions.event_types import add_schema, create_event_type
from tests.api.calls import Answer, Api
from tests.factories import make_account, make_api_key, make_subscription, make_user
from webhooks_project.accounts.models import Account, Membership, Role

pytestmark = pytest.mark.django_db

PATH = "outgoing/events/batch"


@pytest.fixture
def account() -> Account:
    return make_subscription().account


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account).text)


def batch(api: Api, *events: Any, **more: Any) -> Answer:
    return api.post(PATH, {"events": list(events)}, **more)


@pytest.mark.django_db(transaction=True)
def test_each_has_its_result_and_what_is_refused_keeps_nothing_back(
    api: Api, account: Account
) -> None:
    event_type = create_event_type(account=account, name="typed")
    add_schema(event_type=event_type, schema={"properties": {"n": {"type": "integer"}}})
    first = api.post("outgoing/events", {"type": "a", "data": 1, "idempotency_key": "known"})
    answer = batch(
        api,
        {"type": "a", "data": {"n": 1}, "idempotency_key": "new"},
        {"type": "a", "data": 1, "idempotency_key": "known"},
        {"type": "a", "data": 2, "idempotency_key": "known"},
        {"type": "typed", "data": {"n": "1"}},
        {"data": 1, "occurred_at": "soon"},
        "no object",
        {"type": "a", "data": None},
    )
    assert answer.status == 200
    assert {name: answer.json[name] for name in ("published", "repeated", "refused")} == {
        "published": 2,
        "repeated": 1,
        "refused": 4,
    }
    new, repeated, conflict, misfit, malformed, text, last = answer.json["results"]
    stored = {str(event.pk): event for event in Event.objects.all()}
    assert set(stored) == {first.json["id"], new["event"], last["event"]}
    assert new == {
        "status": "published",
        "event": new["event"],
        "webhook_id": stored[new["event"]].webhook_id,
        "deliveries": [str(Delivery.objects.get(event=new["event"]).pk)],
        "warnings": [],
    }
    assert (repeated["status"], repeated["event"]) == ("repeated", first.json["id"])
    assert repeated["deliveries"] == first.json["deliveries"]
    assert conflict == {
        "status": "refused",
        "code": "idempotency_conflict",
        "detail": "the idempotency key was used before, for something else",
        "event": first.json["id"],
    }
    assert (misfit["status"], misfit["code"]) == ("refused", "schema_mismatch")
    assert misfit["errors"] == [{"path": "/n", "message": '"1" is not of type "integer"'}]
    assert malformed["code"] == "invalid"
    assert {error["path"]: error["code"] for error in malformed["errors"]} == {
        "/type": "required",
        "/occurred_at": "invalid",
    }
    assert (text["status"], text["code"]) == ("refused", "invalid")
    assert stored[last["event"]].payload is None


def test_a_thousand_at_most(api: Api) -> None:
    event = {"type": "a", "data": 1}
    answer = batch(api, *[event] * 1000)
    assert (answer.status, answer.json["published"]) == (200, 1000)
    assert Event.objects.count() == Delivery.objects.count() == 1000
    assert batch(api, *[event] * 1001).errors == {"/events": "max_length"}
    assert Event.objects.count() == 1000


def test_one_that_is_nested_too_deeply_for_its_schema_keeps_no_other_back(api: Api) -> None:
    deep = b"[" * 300 + b"]" * 300
    event_type = create_event_type(account=Account.objects.get(), name="a")
    add_schema(event_type=event_type, schema={"type": "object"})
    raw = b'{"events": [{"type": "a", "data": %b}, {"type": "a", "data": {}}]}' % deep
    refused, published = api.post(PATH, raw=raw).json["results"]
    assert (refused["code"], published["status"]) == ("schema_mismatch", "published")
    assert refused["errors"] == [{"path": "", "message": "it is nested too deeply to be checked"}]
    assert [bytes(event.data) for event in Event.objects.all()] == [b"{}"]


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"/events": "required"}),
        ({"events": []}, {"/events": "min_length"}),
        ({"events": {}}, {"/events": "not_a_list"}),
        ([], {"": "invalid"}),
    ],
)
def test_what_is_no_batch_is_refused(api: Api, body: Any, errors: dict[str, str]) -> None:
    assert api.post(PATH, body).errors == errors
    assert not Event.objects.exists()


def test_the_header_is_refused_since_each_event_has_a_key_of_its_own(api: Api) -> None:
    answer = batch(api, {"type": "a", "data": 1}, headers={"idempotency-key": "k"})
    assert answer.errors == {"/idempotency_key": "invalid"}
    assert not Event.objects.exists()


def test_it_is_bounded_in_all(api: Api, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    event = {"type": "a", "data": "x" * 400}
    assert batch(api, event, event).status == 200
    answer = batch(api, event, event, event)
    assert (answer.status, answer.code) == (413, "payload_too_large")
    assert Event.objects.count() == 2


def test_the_data_of_each_is_kept_byte_for_byte(api: Api) -> None:
    raw = b'{"events": [{"type":"a","data": [ 18446744073709551617 ] } , {"data":{ },"type":"a"}]}'
    assert api.post(PATH, raw=raw).json["published"] == 2
    assert sorted(bytes(event.data) for event in Event.objects.all()) == [
        b"[ 18446744073709551617 ]",
        b"{ }",
    ]


def test_each_is_of_the_requests_trace_and_id(api: Api) -> None:
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    batch(
        api,
        {"type": "a", "data": 1},
        {"type": "a", "data": 1, "correlation_id": "its-own-1", "causation_id": "evt_1"},
        headers={"traceparent": parent, "x-request-id": "request-12345"},
    )
    rows = Event.objects.order_by("pk").values_list("traceparent", "correlation_id", "causation_id")
    assert list(rows) == [(parent, "request-12345", ""), (parent, "its-own-1", "evt_1")]


def test_it_names_the_account_where_there_are_several(account: Account) -> None:
    user = make_user(account, Role.DEVELOPER)
    Membership.objects.create(account=make_account(), user=user, role=Role.VIEWER)
    api, event = Api(user=user), {"type": "a", "data": 1}
    assert batch(api, event).errors == {"/account": "invalid"}
    answer = api.post(PATH, {"account": str(account.pk), "events": [event]})
    assert answer.json["published"] == 1
    assert Event.objects.get().account == account


def test_as_many_queries_for_many_as_for_few(api: Api, django_assert_num_queries: Any) -> None:
    batch(api, {"type": "a", "data": 1})
    # PostgreSQL stores events and deliveries by one statement.
    expected = 3 if connection.vendor == "postgresql" else 4
    for count in (5, 50):
        with django_assert_num_queries(expected):
            batch(api, *[{"type": "a", "data": 1}] * count)
