"""Publishing: one event, one delivery for each subscription that hears it, all or nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
import time_machine
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from outgoing import conf, drafting, publishing
from outgoing.errors import (
    EventNotAcceptable,
    EventTypeMalformed,
    IdempotencyConflict,
    PayloadNotJson,
    PayloadTooLarge,
    SchemaMismatch,
)
from outgoing.models import Delivery, Event
from outgoing.services import NewEvent, publish, publish_many
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import EventType, Subscription
from tests.factories import make_account, make_subscription

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
Status = Subscription.Status


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The families that were woken."""
    families: list[str] = []
    monkeypatch.setattr(publishing, "wake", families.append)
    return families


def nothing_was_written() -> bool:
    return not Event.objects.exists() and not Delivery.objects.exists()


# --- what is stored -------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_stores_the_event_and_a_delivery_for_each_subscription() -> None:
    account = make_account()
    hearing = [make_subscription(account), make_subscription(account, event_types=("invoice.*",))]
    make_subscription(account, event_types=("order.*",))
    make_subscription()
    published = publish(
        account=account,
        type="invoice.paid",
        data={"amount": 1, "name": "Zoë"},
        correlation_id="request-1",
        causation_id="receipt:1",
    )
    event = Event.objects.get()
    assert published.event == event
    assert published.is_new
    assert bytes(event.data) == '{"amount":1,"name":"Zoë"}'.encode()
    assert (event.type, event.account) == ("invoice.paid", account)
    assert event.occurred_at == event.created_at == NOW
    assert (event.correlation_id, event.causation_id) == ("request-1", "receipt:1")
    assert event.not_matched == []
    assert event.webhook_id == f"evt_{event.pk.hex}"
    deliveries = list(Delivery.objects.order_by("pk"))
    assert {row.subscription_id for row in deliveries} == {row.pk for row in hearing}
    assert sorted(published.delivery_ids) == [row.pk for row in deliveries]
    for row in deliveries:
        assert (row.event, row.account) == (event, account)
        assert (row.status, row.lane, row.trigger) == ("pending", Delivery.Lane.FIRST, "first")
        assert row.next_attempt_at == row.created_at == NOW
        assert (row.attempt_count, row.lease_token) == (0, None)


def test_takes_an_account_by_its_id() -> None:
    account = make_account()
    assert publish(account=account.pk, type="a", data=None).event.account_id == account.pk


def test_keeps_the_moment_that_it_is_told() -> None:
    publish(account=make_account(), type="a", data=1, occurred_at=NOW)
    event = Event.objects.get()
    assert event.occurred_at == NOW != event.created_at


@pytest.mark.parametrize(
    "text",
    [
        b'{ "b" : 1,\n "a" : 1.10, "a": 2 }',
        b"null",
        b'"\\u00e9 \\u0000"',
        b"123456789012345678901234567890",
    ],
)
def test_keeps_json_text_exactly(text: bytes) -> None:
    publish(account=make_account(), type="a", data=text)
    assert bytes(Event.objects.get().data) == text


@pytest.mark.parametrize(
    "subscribed", [("invoice.paid",), ("*", "invoice.*", "invoice.paid"), ("invoice.*", "*")]
)
def test_a_subscription_gets_an_event_once(subscribed: tuple[str, ...]) -> None:
    subscription = make_subscription(event_types=subscribed)
    publish(account=subscription.account, type="invoice.paid", data={})
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize("status", [Status.PAUSED, Status.DISABLED, Status.VERIFYING])
def test_what_is_for_a_paused_subscription_is_held(status: Status, woken: list[str]) -> None:
    subscription = make_subscription(status=status)
    with _committing():
        publish(account=subscription.account, type="a", data={})
    row = Delivery.objects.get()
    assert (row.status, row.lane) == ("held", None)
    assert Event.objects.get().not_matched == []
    assert woken == []


@pytest.mark.parametrize("status", [Status.DRAFT, Status.EXPIRED, Status.ARCHIVED])
def test_why_there_is_no_delivery_is_kept_with_the_event(status: Status) -> None:
    account = make_account()
    subscription = make_subscription(account, status=status)
    make_subscription(account, status=status, event_types=("other",))
    published = publish(account=account, type="a", data={})
    assert not Delivery.objects.exists()
    reasons = [{"subscription": str(subscription.pk), "reason": f"subscription_{status}"}]
    assert Event.objects.get().not_matched == published.event.not_matched == reasons


def test_an_event_that_nobody_hears_is_kept() -> None:
    published = publish(account=make_account(), type="a", data={})
    assert Event.objects.get() == published.event
    assert published.delivery_ids == ()


def test_the_database_holds_one_delivery_for_an_event_and_a_subscription() -> None:
    subscription = make_subscription()
    publish(account=subscription.account, type="a", data={})
    row = Delivery.objects.get()
    row.pk = None
    row._state.adding = True
    with pytest.raises(Exception, match=r"(?i)unique"), transaction.atomic():
        Delivery.objects.bulk_create([row])


@pytest.mark.parametrize(
    ("values", "path", "code"),
    [
        ({"deliver_at": datetime(2026, 3, 5)}, "/deliver_at", "invalid_moment"),  # noqa: DTZ001
        ({"deliver_at": "2026-03-05T00:00:00Z"}, "/deliver_at", "invalid_moment"),
        ({"occurred_at": datetime(2026, 3, 5)}, "/occurred_at", "invalid_moment"),  # noqa: DTZ001
        ({"idempotency_key": "a\ud800"}, "/idempotency_key", "invalid_text"),
        ({"correlation_id": 5}, "/correlation_id", "invalid_text"),
        ({"causation_id": b"a"}, "/causation_id", "invalid_text"),
        ({"schema_version": "1" * 17}, "/schema_version", "invalid_text"),
        ({"channels": "abc"}, "/channels", "not_a_list"),
        ({"channels": {"abc"}}, "/channels", "not_a_list"),
        ({"metadata": ["a"]}, "/metadata", "not_a_mapping"),
        ({"metadata": {"a": "\udfff"}}, "/metadata/a", "invalid_text"),
        ({"metadata": {"\ud800": "a"}}, "/metadata/\ud800", "invalid_name"),
        ({"headers": "X-A: b"}, "/headers", "not_a_mapping"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(
    values: dict[str, Any], path: str, code: str
) -> None:
    account = make_account()
    with pytest.raises(EventNotAcceptable) as refused:
        publish(account=account, type="invoice.paid", data={}, **values)
    [error] = refused.value.extra["errors"]
    assert (error["path"], error["code"]) == (path, code)
    assert nothing_was_written()


@pytest.mark.parametrize("type_", [None, 5, b"invoice.paid", "a\ud800"])
def test_a_type_that_is_no_text_of_its_kind_is_refused(type_: Any) -> None:
    with pytest.raises(EventTypeMalformed):
        publish(account=make_account(), type=type_, data={})
    assert nothing_was_written()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a b", "*", "a.*", "a\n", "a" * 129, "é"])
def test_refuses_what_is_no_type(name: str, woken: list[str]) -> None:
    account = make_subscription().account
    with pytest.raises(EventTypeMalformed):
        publish(account=account, type=name, data={})
    assert nothing_was_written()
    assert woken == []


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{'a': 1}", b"[NaN]", b"[1e400]", b"\xff", b'"\\ud800"', b"[" * 5000, "\ud800",
     {1, 2}, object(), float("nan"), {"a": [None, float("inf")]}, {"a": -float("inf")},
     {1: "a"}, 2**64, b"NaN"],
)  # fmt: skip
def test_refuses_what_is_no_json(data: Any, woken: list[str]) -> None:
    account = make_subscription().account
    with pytest.raises(PayloadNotJson):
        publish(account=account, type="a", data=data)
    assert nothing_was_written()
    assert woken == []


@pytest.mark.parametrize(
    ("name", "limit"),
    [("idempotency_key", 255), ("correlation_id", 64), ("causation_id", 128),
     ("schema_version", 16)],
)  # fmt: skip
def test_refuses_what_not_every_database_takes(name: str, limit: int, woken: list[str]) -> None:
    subscription = make_subscription()
    for text in ("x" * (limit + 1), "a\0b"):
        with pytest.raises(EventNotAcceptable) as caught:
            publish(account=subscription.account, type="a", data=1, **{name: text})
        words = f"must be a text of at most {limit} characters, none of them NUL"
        assert caught.value.extra["fields"] == {name: [words]}
    assert nothing_was_written()
    assert woken == []
    publish(account=subscription.account, type="a", data=1, **{name: "x" * limit})
    assert Event.objects.count() == 1


@pytest.mark.parametrize("data", [None, {"a": None}, "null", {"null": [None, 1.5]}])
def test_null_is_json(data: Any) -> None:
    published = publish(account=make_account(), type="a", data=data)
    assert published.event.payload == data


def test_refuses_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drafting, "MAX_EVENT_BYTES", 10)
    account = make_subscription().account
    publish(account=account, type="a", data=b'"12345678"')
    with pytest.raises(PayloadTooLarge) as caught:
        publish(account=account, type="a", data=b'"123456789"')
    assert caught.value.status == 413
    assert Event.objects.count() == Delivery.objects.count() == 1
    assert conf.MAX_EVENT_BYTES == 25 * 1024 * 1024


def strict_account() -> UUID:
    subscription = make_subscription()
    event_type = create_event_type(account=subscription.account, name="strict")
    add_schema(event_type=event_type, schema={"required": ["old"]})
    add_schema(event_type=event_type, schema={"required": ["amount"]}, major=True)
    return subscription.account_id


def test_refuses_what_does_not_fit_the_latest_schema(woken: list[str]) -> None:
    account = strict_account()
    with pytest.raises(SchemaMismatch) as caught:
        publish(account=account, type="strict", data={"old": 1})
    assert str(caught.value) == "the data does not fit strict v2.0"
    assert caught.value.extra == {
        "errors": [{"path": "", "message": '"amount" is a required property'}]
    }
    assert nothing_was_written()
    assert woken == []


def test_takes_what_fits_and_what_is_not_to_be_checked() -> None:
    account = strict_account()
    publish(account=account, type="strict", data={"amount": 1})
    publish(account=account, type="another", data={})
    EventType.objects.update(schema_mode=EventType.SchemaMode.OFF)
    publish(account=account, type="strict", data={})
    assert Event.objects.count() == Delivery.objects.count() == 3


def test_one_that_is_refused_refuses_the_batch(woken: list[str]) -> None:
    account = make_subscription().account_id
    with pytest.raises(EventTypeMalformed):
        publish_many([NewEvent(account, "a", {}), NewEvent(account, "not a type", {})])
    assert nothing_was_written()
    assert woken == []


# --- transactions (promise 3) ---------------------------------------------------------------------


class _committing:
    """Run what waits for the commit, inside a test's transaction."""

    def __enter__(self) -> None:
        from django.test import TestCase

        self._capture = TestCase.captureOnCommitCallbacks(execute=True)
        self._capture.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self._capture.__exit__(*exc)


@pytest.mark.django_db(transaction=True)
def test_a_rollback_publishes_nothing_and_wakes_nobody(woken: list[str]) -> None:
    account = make_subscription().account
    seen: list[Event] = []

    @transaction.atomic
    def publish_and_fail() -> None:
        publish(account=account, type="a", data={})
        seen.extend(Event.objects.all())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        publish_and_fail()
    assert len(seen) == 1
    assert nothing_was_written()
    assert woken == []


@pytest.mark.django_db(transaction=True)
def test_a_commit_wakes_the_delivery_queue_once(woken: list[str]) -> None:
    account = make_subscription().account
    with transaction.atomic():
        publish(account=account, type="a", data={})
        assert woken == []
    assert woken == ["delivery"]


@pytest.mark.django_db(transaction=True)
def test_an_event_that_nobody_hears_wakes_nobody(woken: list[str]) -> None:
    publish(account=make_account(), type="a", data={})
    assert Event.objects.count() == 1
    assert woken == []


@pytest.mark.django_db(transaction=True)
def test_a_queue_that_is_away_does_not_fail_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    from webhooks_project import queues

    def away(*_: Any) -> None:
        raise OSError("no queue")

    monkeypatch.setattr(queues, "send_hint", away)
    account = make_subscription().account
    publish(account=account, type="a", data={})
    assert Delivery.objects.count() == 1


# --- idempotency ----------------------------------------------------------------------------------


def test_the_same_key_gives_the_first_event_back(woken: list[str]) -> None:
    account = make_subscription().account
    first = publish(account=account, type="a", data={"n": 1}, idempotency_key="k")
    with _committing():
        again = publish(account=account, type="a", data={"n": 1}, idempotency_key="k")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.event == first.event
    assert again.delivery_ids == ()
    assert Event.objects.count() == Delivery.objects.count() == 1
    assert woken == []


def test_a_key_counts_in_its_account() -> None:
    for account in (make_account(), make_account()):
        assert publish(account=account, type="a", data={}, idempotency_key="k").is_new
    assert Event.objects.count() == 2


@pytest.mark.parametrize("key", [None, ""])
def test_without_a_key_everything_is_new(key: str | None) -> None:
    account = make_account()
    for _ in range(2):
        assert publish(account=account, type="a", data={}, idempotency_key=key).is_new
    assert Event.objects.filter(idempotency_key=None).count() == 2


@pytest.mark.parametrize(("type_", "data"), [("b", {"n": 1}), ("a", {"n": 2})])
def test_a_key_used_for_something_else_is_a_conflict(type_: str, data: Any) -> None:
    account = make_subscription().account
    first = publish(account=account, type="a", data={"n": 1}, idempotency_key="k")
    with pytest.raises(IdempotencyConflict) as caught:
        publish(account=account, type=type_, data=data, idempotency_key="k")
    assert caught.value.status == 409
    assert caught.value.extra == {"event": str(first.event.pk)}
    assert Event.objects.count() == Delivery.objects.count() == 1


def test_a_batch_may_repeat_a_key_within_itself() -> None:
    account = make_subscription().account_id
    first, second, other = publish_many(
        [
            NewEvent(account, "a", {"n": 1}, idempotency_key="k"),
            NewEvent(account, "a", {"n": 1}, idempotency_key="k"),
            NewEvent(account, "b", {"n": 2}),
        ]
    )
    assert (first.is_new, second.is_new, other.is_new) == (True, False, True)
    assert second.event == first.event
    assert Event.objects.count() == Delivery.objects.count() == 2


def test_a_batch_that_contradicts_itself_is_refused() -> None:
    account = make_subscription().account_id
    with pytest.raises(IdempotencyConflict):
        publish_many(
            [
                NewEvent(account, "a", {"n": 1}, idempotency_key="k"),
                NewEvent(account, "a", {"n": 2}, idempotency_key="k"),
            ]
        )
    assert nothing_was_written()


def test_a_repeat_is_not_noted_as_not_matched_again() -> None:
    account = make_subscription(status=Status.DRAFT).account
    publish(account=account, type="a", data={}, idempotency_key="k")
    again = publish(account=account, type="a", data={}, idempotency_key="k")
    assert len(again.event.not_matched) == 1


@pytest.mark.django_db(transaction=True)
def test_two_callers_with_one_key_at_the_same_moment_make_one_event() -> None:
    account = make_subscription().account
    start = threading.Barrier(4)
    published = []

    def call() -> None:
        start.wait()
        try:
            while True:
                try:
                    published.append(
                        publish(account=account, type="a", data={}, idempotency_key="k")
                    )
                except OperationalError as error:
                    # A SQLite database in memory has one writer, and whoever waits is told so.
                    if "locked" not in str(error):
                        raise
                else:
                    return
        finally:
            connection.close()

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(item.is_new for item in published) == [False, False, False, True]
    assert len({item.event.pk for item in published}) == 1
    assert Event.objects.count() == Delivery.objects.count() == 1


# --- many -----------------------------------------------------------------------------------------


def test_a_batch_takes_as_many_queries_as_one_event() -> None:
    account = make_account()
    make_subscription(account, status=Status.DRAFT)
    for _ in range(5):
        make_subscription(account)
    counts = []
    for size in (1, 10):
        with CaptureQueriesContext(connection) as queries:
            publish_many([NewEvent(account.pk, "a", {"n": n}) for n in range(size)])
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8
    assert Event.objects.count() == 11
    assert Delivery.objects.count() == 11 * 5


def test_gives_back_the_events_in_the_same_order() -> None:
    account = make_account().pk
    published = publish_many(
        [
            NewEvent(account, "a", {"n": n}, idempotency_key=f"k{n}" if n % 2 else None)
            for n in range(10)
        ]
    )
    assert [orjson.loads(item.event.data)["n"] for item in published] == list(range(10))
    assert all(item.is_new for item in published)
