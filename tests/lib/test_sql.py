"""Statements of our own, held against what the ORM itself reads and writes."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from incoming.models import Receipt
from outgoing.models import Attempt, Delivery, Event, Retry
from subscriptions.models import Subscription
from tests.factories import (
    make_account,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import (
    analyze_unknown,
    insert,
    insert_instance,
    insert_new,
    insert_new_with,
    insert_rows,
    instance_of,
    is_due,
    select_by_key,
    update_returning,
    wait_for_writers,
)

pytestmark = pytest.mark.django_db

# With microseconds and without: SQLite keeps both as text.
MOMENTS = [
    datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC),
    datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
    datetime(2026, 3, 4, 5, 6, 7, 500000, tzinfo=timezone(timedelta(hours=5, minutes=30))),
]


def attempt_row(delivery: Delivery, **values: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "delivery": delivery.pk,
        "number": 1,
        "trigger": "first",
        "outcome": "failed",
        "cause": "status_5xx",
        "detail": 'a "quoted" \\ text\twith\na line end and Zoë',
        "status_code": 500,
        "started_at": MOMENTS[0],
        "queue_wait_ms": 1.25,
        "dns_ms": None,
        "connect_ms": 0.125,
        "tls_ms": None,
        "first_byte_ms": 3.5,
        "duration_ms": 1e-3,
        "request_headers": {"webhook-id": "evt_1", "x": "\\N 'quote' \x00"},
        "request_bytes": 0,
        "request_sha256": b"",
        "response_headers": {},
        "response_body": b"\x00\xff\\x41\n\t",
        "response_bytes": 2**40,
        "address": "127.0.0.1",
        "protocol": "",
        "worker": "w",
    } | values


def test_an_instance_is_as_the_model_makes_it() -> None:
    values = {"account_id": new_id(), "type": "a", "data": b"1", "channels": ["x"]}
    made, by_model = instance_of(Event, **values), Event(**values)
    assert made._state.adding
    assert made.metadata == {}
    assert made.metadata is not instance_of(Event, **values).metadata
    for instance in (made, by_model):
        instance.id = instance.created_at = None  # type: ignore[assignment]
    assert vars(made) | {"_state": None} == vars(by_model) | {"_state": None}


def test_inserts_rows_as_the_orm_reads_them() -> None:
    delivery = make_delivery()
    rows = [
        attempt_row(delivery, number=1),
        attempt_row(
            delivery,
            number=2,
            status_code=None,
            started_at=MOMENTS[1],
            response_body=b"",
            request_headers={},
        ),
        attempt_row(delivery, number=3, started_at=MOMENTS[2], request_headers={"a": [1, None]}),
    ]
    for row in rows:
        if connection.vendor == "postgresql":
            row["request_headers"] = {
                key: value.replace("\x00", "") if isinstance(value, str) else value
                for key, value in row["request_headers"].items()
            }
    columns = tuple(rows[0])
    insert_rows(Attempt, columns, ([row[name] for name in columns] for row in rows))
    for row in rows:
        stored = Attempt.objects.get(pk=row["id"])
        read = {name: getattr(stored, name) for name in columns if name != "delivery"}
        read["response_body"] = bytes(read["response_body"])
        assert read == {name: value for name, value in row.items() if name != "delivery"}
        assert stored.delivery_id == delivery.pk
    assert Attempt.objects.count() == 3


def test_inserted_moments_are_found_by_comparison() -> None:
    """The text of a moment in SQLite is compared as text: the same form must be written."""
    deliveries = [make_delivery(lane=None) for _ in MOMENTS]
    insert_rows(
        Retry,
        ("delivery", "due_at", "number", "cause", "created_at"),
        [
            (delivery.pk, moment, 2, "dns", moment)
            for delivery, moment in zip(deliveries, MOMENTS, strict=True)
        ],
    )
    for delivery, moment in zip(deliveries, MOMENTS, strict=True):
        assert Retry.objects.filter(pk=delivery.pk, due_at=moment).exists()
        assert Retry.objects.filter(pk=delivery.pk, due_at__lte=moment).exists()
        assert not Retry.objects.filter(pk=delivery.pk, due_at__lt=moment).exists()


def test_inserts_nothing_of_no_rows() -> None:
    insert_rows(Retry, ("delivery", "due_at", "number", "cause", "created_at"), [])
    assert Retry.objects.count() == 0


def test_an_update_gives_back_python_values() -> None:
    replayed = make_delivery(next_attempt_at=MOMENTS[0])
    plain = make_delivery(next_attempt_at=MOMENTS[1], attempt_count=4)
    rows = update_returning(
        Delivery.objects.filter(pk__in=[replayed.pk, plain.pk]),
        {"attempt_count": F("attempt_count") + 1, "lease_token": (token := new_id())},
        ("id", "event", "subscription", "replay", "attempt_count", "next_attempt_at",
         "lease_token", "status"),
    )  # fmt: skip
    assert sorted(rows) == sorted(
        (row.pk, row.event_id, row.subscription_id, None, count, row.next_attempt_at, token,
         "pending")
        for row, count in ((replayed, 1), (plain, 5))
    )  # fmt: skip
    replayed.refresh_from_db()
    assert (replayed.attempt_count, replayed.lease_token) == (1, token)


def test_an_update_gives_back_json_and_bytes() -> None:
    event = make_event(not_matched=[{"a": 1}], data=[1, 2])
    rows = update_returning(
        type(event).objects.filter(pk=event.pk), {"type": "thing.made"}, ("not_matched", "data")
    )
    assert [(row[0], bytes(row[1])) for row in rows] == [([{"a": 1}], b"[1,2]")]


def test_an_update_of_nothing_gives_back_nothing() -> None:
    make_delivery()
    rows = update_returning(Delivery.objects.filter(pk=new_id()), {"lane": None}, ("id",))
    assert rows == []
    assert Delivery.objects.filter(lane=None).count() == 0


def test_an_update_takes_a_limited_subquery() -> None:
    subscription = make_subscription()
    for _ in range(3):
        make_delivery(make_event(subscription.account), subscription)
    ids = Delivery.objects.order_by("pk").values("pk")[:2]
    rows = update_returning(Delivery.objects.filter(pk__in=ids), {"lane": None}, ("id",))
    assert {row[0] for row in rows} == set(
        Delivery.objects.order_by("pk").values_list("pk", flat=True)[:2]
    )


@pytest.mark.parametrize("moment", MOMENTS)
def test_due_is_at_its_moment_and_after_it(moment: datetime) -> None:
    make_delivery(next_attempt_at=moment)
    step = timedelta(microseconds=1)
    assert is_due(Delivery, "next_attempt_at", moment, lane=0)
    assert is_due(Delivery, "next_attempt_at", moment + step, lane=0)
    assert not is_due(Delivery, "next_attempt_at", moment - step, lane=0)
    assert not is_due(Delivery, "next_attempt_at", moment, lane=1)


def test_due_is_one_cheap_query() -> None:
    make_delivery()
    with CaptureQueriesContext(connection) as queries:
        is_due(Delivery, "next_attempt_at", MOMENTS[0], lane=0)
    assert len(queries) == 1
    assert queries[0]["sql"].startswith("SELECT 1 FROM")


@pytest.mark.parametrize("moment", MOMENTS)
def test_inserts_an_instance_as_saving_it_would(moment: datetime) -> None:
    source = make_source()
    saved = make_receipt(
        source,
        body=b"\x00\xff\\x41",
        detail='a "quoted" \\ text\twith\na line end and Zoë',
        received_at=moment,
        signed_at=None,
        next_attempt_at=None,
    )
    inserted = Receipt.objects.get(pk=saved.pk)
    inserted.pk, inserted.external_id, inserted.signed_at = new_id(), "another", moment
    insert_instance(inserted)
    names = [field.attname for field in Receipt._meta.concrete_fields]
    read = {name: getattr(Receipt.objects.get(pk=inserted.pk), name) for name in names}
    expected = {name: getattr(saved, name) for name in names} | {
        "id": inserted.pk,
        "external_id": "another",
        "signed_at": moment,
    }
    for name in ("body", "body_sha256", "headers"):
        read[name] = bytes(read[name])
    assert read == expected
    assert Receipt.objects.filter(received_at=moment).count() == 2


def test_inserts_a_row_with_json() -> None:
    event = make_event()
    event.pk, event.not_matched = new_id(), [{"reason": "Zoë", "none": None}]
    insert_instance(event)
    assert type(event).objects.get(pk=event.pk).not_matched == [{"reason": "Zoë", "none": None}]


def test_a_second_instance_of_one_key_is_an_integrity_error() -> None:
    receipt = make_receipt()
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_instance(receipt)
    assert Receipt.objects.count() == 1


def test_selects_rows_by_key_as_the_orm_would() -> None:
    events = [make_event(data={"n": n}, headers={"X-A": "é"}, channels=["a"]) for n in range(3)]
    columns = ("id", "account", "occurred_at", "headers", "channels", "idempotency_key")
    rows = select_by_key(
        Event, [event.pk for event in events[:2]], columns, expressions=("length(data)",)
    )
    expected = Event.objects.filter(pk__in=[event.pk for event in events[:2]])
    assert sorted(row[:-1] for row in rows) == sorted(expected.values_list(*columns))
    assert {row[-1] for row in rows} == {len(bytes(events[0].data))}
    assert select_by_key(Event, [], columns) == []


def test_a_pump_waits_for_sqlite_s_writer_no_longer_than_it_is_told() -> None:
    wait_for_writers(1.5)
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA busy_timeout")
            assert cursor.fetchone() == (1500,)
        wait_for_writers(20)


def new_event(account: Account, key: str | None, **fields: Any) -> Event:
    now = datetime.now(UTC)
    return Event(
        account_id=account.pk,
        type="a",
        data=b"1",
        occurred_at=now,
        created_at=now,
        idempotency_key=key,
        **fields,
    )


def test_stores_new_instances_and_leaves_out_what_a_constraint_forbids() -> None:
    account = make_account()
    make_event(account, idempotency_key="known")
    given = [
        new_event(account, key, metadata={"n": "é"}) for key in ("new", None, "known", "new", None)
    ]
    stored = insert_new(given, ("id", "created_at"))
    assert stored == [(given[index].pk, given[index].created_at) for index in (0, 1, 4)]
    assert Event.objects.count() == 4
    row = Event.objects.get(pk=given[0].pk)
    assert (row.metadata, bytes(row.data), row.deliver_at) == ({"n": "é"}, b"1", None)
    assert insert_new([], ("id",)) == []


class Key(UUID):
    """As other libraries have of their own."""


def new_part(event: Event, subscription: Subscription) -> Delivery:
    return Delivery(
        account_id=event.account_id,
        event_id=event.pk,
        subscription_id=subscription.pk,
        order_key="Zoë",
        next_attempt_at=event.created_at,
        created_at=event.created_at,
    )


@pytest.mark.parametrize("count", [1, 3, 30])
def test_stores_the_parts_of_those_instances_alone_that_are_new(count: int) -> None:
    subscription = make_subscription()
    account = subscription.account
    make_event(account, idempotency_key="known")
    events = [new_event(account, key) for key in ["known", *[None] * (count - 1)]]
    events.append(
        new_event(
            account, "new", id=new_id(), metadata={"a": '"\\\n\u2028😀'}, channels=["é", "\\x00"],
            deliver_at=datetime(2026, 3, 4, 5, 6, 7, 8, timezone(timedelta(hours=5, seconds=30))),
            source_id=Key(int=new_id().int),
        )
    )  # fmt: skip
    events[-1].data = bytes(range(256))
    parts = [new_part(event, subscription) for event in events]
    with CaptureQueriesContext(connection) as queries:
        stored = insert_new_with(events, parts, by="event_id")
    assert stored == {event.pk for event in events[1:]}
    kept = {row.pk: row for row in Delivery.objects.all()}
    assert set(kept) == {part.pk for part in parts[1:]}
    row, part = kept[parts[-1].pk], parts[-1]
    names = [field.attname for field in Delivery._meta.concrete_fields]
    assert {name: getattr(row, name) for name in names} == {
        name: getattr(part, name) for name in names
    }
    new = Event.objects.get(idempotency_key="new")
    new.data = bytes(new.data)
    names = [field.attname for field in Event._meta.concrete_fields]
    assert {name: getattr(new, name) for name in names} == {
        name: getattr(events[-1], name) for name in names
    }
    if connection.vendor == "postgresql":
        assert len(queries) == 1
    assert insert_new_with([], parts, by="event_id") == set()


def test_stores_the_same_where_it_is_too_large_for_one_statement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(insert, "ONE_BYTES", 1_000)
    subscription = make_subscription()
    events = [new_event(subscription.account, key) for key in ("twice", "twice", "once")]
    for event in events:
        event.data = b"1" * 400
    parts = [new_part(event, subscription) for event in events]
    with CaptureQueriesContext(connection) as queries:
        assert insert_new_with(events, parts, by="event_id") == {events[0].pk, events[2].pk}
    assert len([query for query in queries if "INSERT" in query["sql"]]) == 2
    assert set(Delivery.objects.values_list("pk", flat=True)) == {parts[0].pk, parts[2].pk}


@pytest.mark.parametrize("count", [1, 30])
def test_where_a_part_cannot_be_stored_nothing_is(count: int) -> None:
    subscription = make_subscription()
    events = [new_event(subscription.account, None) for _ in range(count)]
    parts = [new_part(event, subscription) for event in events]
    parts.append(new_part(events[0], subscription))  # a second to the same subscription
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_new_with(events, parts, by="event_id")
    assert (Event.objects.count(), Delivery.objects.count()) == (0, 0)


@pytest.mark.parametrize("count", [1, 30])
def test_a_transaction_that_it_fails_in_is_not_committed(
    count: int, django_capture_on_commit_callbacks: Any
) -> None:
    subscription = make_subscription()
    events = [new_event(subscription.account, None) for _ in range(count)]
    parts = [new_part(event, subscription) for event in [*events, events[0]]]
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        transaction.on_commit(lambda: None)
        with suppress(IntegrityError):
            insert_new_with(events, parts, by="event_id")
    assert callbacks == []


@pytest.mark.parametrize("limit", [1, 3])
def test_updates_no_more_than_were_chosen_whatever_the_planner_makes_of_it(limit: int) -> None:
    """PostgreSQL asks a subquery with a limit and a lock again for each row of a small table."""
    make_delivery()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    for _ in range(5):
        make_delivery()
    due = Delivery.objects.order_by("next_attempt_at").select_for_update(skip_locked=True)
    rows = update_returning(
        Delivery.objects.all(), {"lane": None}, ("id",), among=due.values("pk")[:limit]
    )
    assert len(rows) == limit
    assert Delivery.objects.filter(lane=None).count() == limit


def test_tables_that_the_planner_knows_nothing_of_are_looked_at_once() -> None:
    delivery = make_delivery()
    tables = ["events.log", "webhooks.outgoing"]
    # Whatever ran before: a rolled-back test may have been looked at meanwhile.
    found = analyze_unknown(Event, Delivery)
    assert set(found) <= set(tables)
    assert analyze_unknown(Event, Delivery) == []
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT DISTINCT tablename FROM pg_stats ORDER BY 1")
            assert set(tables) <= {name for (name,) in cursor.fetchall()}
            cursor.execute("DELETE FROM pg_statistic WHERE starelid = '\"events.log\"'::regclass")
        assert analyze_unknown(Event, Delivery) == ["events.log"]
    else:
        assert found == []
    assert Delivery.objects.get() == delivery
