from __future__ import annotations

import gc
from typing import Any

import orjson
import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from rest_framework.request import Request
from rest_framework.serializers import ModelSerializer

from outgoing.api.events import EventViewSet
from outgoing.api.serializers import EventInListSerializer, EventSerializer
from outgoing.models import Delivery, Event
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import SubscribedType, Subscription
from tests.api.calls import Answer, Api
from tests.factories import make_account, make_api_key, make_subscription
from webhooks_project.accounts.models import Account
from webhooks_project.accounts.services import change_account

pytestmark = pytest.mark.django_db

PATH = "outgoing/events"


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account).text)


def nothing_was_written() -> bool:
    return not Event.objects.exists() and not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_201_means_that_the_event_and_its_deliveries_are_stored(api: Api, account: Account) -> None:
    active = make_subscription(account)
    draft = make_subscription(account, status=Subscription.Status.DRAFT)
    answer = api.post(
        PATH,
        {"type": "invoice.paid", "data": {"a": [1, "é"]}, "occurred_at": "2026-03-04T05:06:07Z"},
        headers={"x-request-id": "request-12345"},
    )
    assert answer.status == 201
    event, delivery = Event.objects.get(), Delivery.objects.get()
    assert delivery.subscription == active
    assert answer.json == {
        "id": str(event.pk),
        "webhook_id": event.webhook_id,
        "account": str(account.pk),
        "type": "invoice.paid",
        "data": {"a": [1, "é"]},
        "occurred_at": "2026-03-04T05:06:07Z",
        "created_at": answer.json["created_at"],
        "idempotency_key": None,
        "correlation_id": "request-12345",
        "causation_id": "",
        "channels": [],
        "metadata": {},
        "headers": {},
        "schema_version": "",
        "schema_errors": [],
        "traceparent": "",
        "tracestate": "",
        "deliver_at": None,
        "cancelled_at": None,
        "quarantined_at": None,
        "dropped_at": None,
        "body_pruned_at": None,
        "expunged_at": None,
        "not_matched": [{"subscription": str(draft.pk), "reason": "subscription_draft"}],
        "is_new": True,
        "deliveries": [str(delivery.pk)],
        "warnings": [],
    }
    assert (event.type, event.payload) == ("invoice.paid", {"a": [1, "é"]})
    assert event.correlation_id == "request-12345"
    assert (delivery.status, delivery.event) == ("pending", event)
    shown = api.get(f"{PATH}/{event.pk}")
    assert shown.json == {
        key: value for key, value in answer.json.items() if key not in ("is_new", "deliveries")
    }
    (row,) = api.get(f"{PATH}/{event.pk}/deliveries").json
    assert (row["id"], row["subscription"]) == (str(delivery.pk), str(active.pk))


@pytest.mark.parametrize("serializer", [EventSerializer(), EventInListSerializer()])
def test_an_event_is_shown_as_its_fields_say(api: Api, serializer: EventSerializer) -> None:
    assert api.post(PATH, {"type": "a", "data": [1], "metadata": {"a": "b"}}).status == 201
    event = Event.objects.get()
    by_fields = ModelSerializer.to_representation(serializer, event)
    shown = serializer.to_representation(event)
    assert list(shown) == list(by_fields)
    assert orjson.dumps(shown) == orjson.dumps(by_fields)


@pytest.mark.django_db(transaction=True)
def test_the_second_call_asks_for_nothing_but_to_store(
    api: Api, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outgoing.publishing.wake", lambda family: None)
    make_subscription(account, event_types=("invoice.*",))
    asked = []
    for _ in range(3):
        with CaptureQueriesContext(connection) as queries:
            assert api.post(PATH, {"type": "invoice.paid", "data": 1}).status == 201
        asked.append([query["sql"].split()[0] for query in queries])
    # The first time the key's use is noted, and the account is asked who hears the type.
    if connection.vendor == "postgresql":
        first, again = ["SELECT", "UPDATE", "SELECT", "WITH"], ["WITH"]
    else:
        first = ["SELECT", "UPDATE", "SELECT", "BEGIN", "INSERT", "INSERT", "COMMIT"]
        again = ["BEGIN", "SELECT", "INSERT", "INSERT", "COMMIT"]
    # The second time the key is read anew, whose use was noted.
    assert asked == [first, ["SELECT", *first[3:]], again]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", ["one", "batch"])
def test_a_call_sees_what_was_changed_before_it(api: Api, account: Account, way: str) -> None:
    subscription = make_subscription(account)

    def publish() -> list[str]:
        event = {"type": "invoice.paid", "data": 1}
        if way == "one":
            answer = api.post(PATH, event)
            return list(answer.json.get("deliveries", [answer.json.get("code")]))
        answer = api.post(f"{PATH}/batch", {"events": [event, {"type": "another", "data": 1}]})
        result = answer.json["results"][0]
        return list(result.get("deliveries", [result.get("code")]))

    assert [len(publish()), len(publish())] == [1, 1]
    other = make_subscription(account)
    assert len(publish()) == 2
    SubscribedType.objects.filter(subscription=other).delete()
    Subscription.objects.filter(pk=subscription.pk).update(status="paused")
    (held,) = publish()
    assert Delivery.objects.get(pk=held).status == "held"
    subscription.delete()
    assert publish() == []
    change_account(account=account, unknown_event_types="reject")
    assert publish() == ["event_type_unknown"]
    create_event_type(account=account, name="invoice.paid")
    assert publish() == []


@pytest.mark.parametrize("data", [None, 0, "", [], {}, False, "text", [1, [2]], {"": None}])
def test_the_data_is_any_json(api: Api, data: Any) -> None:
    answer = api.post(PATH, {"type": "a", "data": data})
    assert (answer.status, answer.json["data"]) == (201, data)
    assert orjson.loads(bytes(Event.objects.get().data)) == data


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, {"/type": "required", "/data": "required"}),
        ({"type": "", "data": 1}, {"/type": "blank"}),
        ({"type": "a" * 129, "data": 1}, {"/type": "max_length"}),
        ({"type": "a", "data": 1, "occurred_at": "soon"}, {"/occurred_at": "invalid"}),
        ({"type": "a", "data": 1, "account": "x"}, {"/account": "incorrect_type"}),
        (
            {"type": "a", "data": 1, "idempotency_key": "k" * 256},
            {"/idempotency_key": "max_length"},
        ),
        (
            {"type": "a", "data": 1, "metadata": {"a": "\x00"}},
            {"/metadata/a": "null_characters_not_allowed"},
        ),
        (
            {"type": "a", "data": 1, "idempotency_key": "a\x00"},
            {"/idempotency_key": "null_characters_not_allowed"},
        ),
    ],
)
def test_says_what_is_wrong_and_publishes_nothing(
    api: Api, account: Account, body: Any, errors: dict[str, str]
) -> None:
    make_subscription(account)
    answer = api.post(PATH, body)
    assert answer.status == 400
    found = answer.errors
    if "/account" in errors:
        assert set(found) == set(errors)
    else:
        assert found == errors
    assert nothing_was_written()


def test_a_name_with_nul_is_refused_alone(api: Api, account: Account) -> None:
    event = {"type": "a", "data": 1, "metadata": {"a\x00": "x"}}
    answer = api.post(PATH, event)
    assert (answer.status, answer.code) == (400, "event_not_acceptable")
    assert nothing_was_written()
    answer = api.post(f"{PATH}/batch", {"events": [event, {"type": "a", "data": 1}]})
    assert (answer.json["refused"], answer.json["published"]) == (1, 1)


def test_says_where_the_data_does_not_fit_its_schema(api: Api, account: Account) -> None:
    make_subscription(account)
    event_type = create_event_type(account=account, name="a")
    add_schema(event_type=event_type, schema={"properties": {"n": {"type": "integer"}}})
    answer = api.post(PATH, {"type": "a", "data": {"n": "1"}})
    assert (answer.status, answer.code) == (400, "schema_mismatch")
    assert answer.json["errors"] == [{"path": "/n", "message": '"1" is not of type "integer"'}]
    assert nothing_was_written()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("broken", [Event, Delivery])
def test_a_database_that_fails_never_yields_a_2xx(api: Api, account: Account, broken: Any) -> None:
    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        if f'INSERT INTO "{broken._meta.db_table}"' in sql:
            raise OperationalError("database or disk is full")
        return execute(sql, *rest)

    make_subscription(account)
    api.client.raise_request_exception = False
    with connection.execute_wrapper(fail):
        assert api.post(PATH, {"type": "a", "data": {}}).status >= 500
    assert nothing_was_written()


@pytest.mark.parametrize(
    "data",
    [
        b"18446744073709551617",
        b"-9223372036854775809",
        b'{ "a" : 1.10, "b":\t[ 1e2 ] }',
        b'{"a":1,"a":2}',
        b'"\\u00e9"',
    ],
)
def test_the_data_is_kept_and_shown_byte_for_byte(api: Api, data: bytes) -> None:
    answer = api.post(PATH, raw=b'{"type": "a", "data": ' + data + b' , "metadata": {"data": "x"}}')
    assert answer.status == 201
    assert bytes(Event.objects.get().data) == data
    shown = '"data":' + data.decode() + ","
    assert shown in answer.text
    assert shown in api.get(f"{PATH}/{answer.json['id']}").text


@pytest.mark.parametrize("data", [b"NaN", b"[Infinity]", b"-Infinity", b"01", b""])
def test_what_is_no_json_is_refused(api: Api, data: bytes) -> None:
    answer = api.post(PATH, raw=b'{"type":"a","data":' + data + b"}")
    assert (answer.status, answer.code) == (400, "parse_error")
    assert nothing_was_written()


@pytest.mark.parametrize("raw", [b"[]", b"1", b'"data"'])
def test_what_is_no_object_is_refused(api: Api, raw: bytes) -> None:
    assert api.post(PATH, raw=raw).errors == {"": "invalid"}
    assert nothing_was_written()


PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        ({}, ("", "")),
        ({"traceparent": PARENT}, (PARENT, "")),
        ({"traceparent": PARENT, "tracestate": "a=1,b=2"}, (PARENT, "a=1,b=2")),
        ({"traceparent": "no trace", "tracestate": "a=1"}, ("", "")),
        ({"tracestate": "a=1"}, ("", "")),
    ],
)
def test_the_requests_trace_is_kept(
    api: Api, headers: dict[str, str], kept: tuple[str, str]
) -> None:
    answer = api.post(PATH, {"type": "a", "data": 1}, headers=headers)
    assert (answer.json["traceparent"], answer.json["tracestate"]) == kept


def test_correlation_and_causation_may_be_given(api: Api) -> None:
    answer = api.post(
        PATH,
        {"type": "a", "data": 1, "correlation_id": "order-12345", "causation_id": "evt_abc"},
        headers={"x-request-id": "request-12345"},
    )
    assert (answer.json["correlation_id"], answer.json["causation_id"]) == (
        "order-12345",
        "evt_abc",
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("causation_id", "receipt:01a218a5-9d75-77d4-b6df-2e22bcf47b09"),
        ("causation_id", "a b"),
        ("correlation_id", "short"),
        ("correlation_id", "order 12345"),
    ],
)
def test_which_receipt_caused_it_is_not_a_callers_to_say(api: Api, name: str, text: str) -> None:
    assert set(api.post(PATH, {"type": "a", "data": 1, name: text}).errors) == {f"/{name}"}
    assert nothing_was_written()


# --- idempotency ----------------------------------------------------------------------------------


def publish(api: Api, data: Any, *, header: str = "", field: str = "") -> Answer:
    body = {"type": "a", "data": data} | ({"idempotency_key": field} if field else {})
    return api.post(PATH, body, headers={"idempotency-key": header} if header else {})


@pytest.mark.parametrize("how", ["header", "field"])
def test_a_repeat_gets_the_first_answer_with_200(api: Api, account: Account, how: str) -> None:
    make_subscription(account)
    first = publish(api, {"n": 1}, **{how: "order-1"})
    again = publish(api, {"n": 1}, **{how: "order-1"})
    assert (first.status, again.status) == (201, 200)
    assert (first.json["is_new"], again.json["is_new"]) == (True, False)
    assert again.json["deliveries"] == first.json["deliveries"]
    unchanged = {key: value for key, value in first.json.items() if key != "is_new"}
    assert {key: again.json[key] for key in unchanged} == unchanged
    assert first.json["idempotency_key"] == "order-1"
    assert Event.objects.count() == Delivery.objects.count() == 1


def test_the_header_and_the_field_are_one_key_and_the_field_wins(api: Api) -> None:
    assert publish(api, 1, header="k").status == 201
    assert publish(api, 1, field="k").status == 200
    assert publish(api, 1, header="k", field="other").status == 201
    assert sorted(Event.objects.values_list("idempotency_key", flat=True)) == ["k", "other"]


def test_a_key_for_something_else_is_a_conflict(api: Api, account: Account) -> None:
    make_subscription(account)
    first = publish(api, {"n": 1}, header="k")
    answer = publish(api, {"n": 2}, header="k")
    assert (answer.status, answer.code) == (409, "idempotency_conflict")
    assert answer.json["event"] == first.json["id"]
    assert Event.objects.count() == Delivery.objects.count() == 1


def test_a_key_of_another_account_is_another_key(api: Api) -> None:
    other = Api(make_api_key().text)
    first, second = publish(api, {"n": 1}, header="k"), publish(other, {"n": 2}, header="k")
    assert (first.status, second.status) == (201, 201)
    assert first.json["id"] != second.json["id"]


def test_a_header_that_is_too_long_is_refused(api: Api) -> None:
    assert publish(api, 1, header="k" * 255).status == 201
    answer = publish(api, 1, header="k" * 256)
    assert set(answer.errors) == {"/idempotency_key"}
    assert Event.objects.count() == 1


@pytest.mark.parametrize("header", ["", " ", "ké", "a\tb"])
def test_a_header_that_is_no_key_is_refused_and_not_passed_over(api: Api, header: str) -> None:
    answer = api.post(PATH, {"type": "a", "data": 1}, headers={"idempotency-key": header})
    assert (answer.status, answer.errors) == (400, {"/idempotency_key": "invalid"})
    assert nothing_was_written()


def test_nothing_of_a_call_stays_in_memory_until_garbage_is_collected(api: Api) -> None:
    def under_way() -> int:
        return sum(type(item) in (EventViewSet, Request) for item in gc.get_objects())

    assert api.post(PATH, {"type": "a", "data": {}}).status == 201
    gc.collect()
    gc.disable()
    try:
        before = under_way()
        for number in range(3):
            assert api.post(PATH, {"type": "a", "data": {"n": number}}).status == 201
        assert api.post(PATH, {"type": "-."}).status == 400
        assert under_way() == before
    finally:
        gc.enable()
