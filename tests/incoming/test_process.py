"""Receipts become events, each of them once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
import time_machine
from django.db import OperationalError
from django.test import TestCase

from incoming.errors import StateNotAllowed
from incoming.models import HandlerRun, Receipt, Route, Source
from incoming.processing import batches, process_due_receipts, pump, run_processing_pump, writing
from incoming.processing.failures import RETRY_SECONDS
from incoming.providers import Cause, Refused
from incoming.querysets import LEASE_SECONDS
from incoming.refusals import record_refusal
from incoming.replays import Selection, advance_replays, plan_replay, start_replay
from incoming.services import drop_quarantined, release_quarantined, reprocess_receipt
from monitoring.models import Activity, AuditEntry, Notification
from outgoing.models import Delivery, Event
from subscriptions.models import EventSchema, EventType
from tests.factories import make_receipt, make_source, make_subscription
from tests.incoming.handlers import add_handler, no_handlers  # noqa: F401 - a fixture
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, 535_897, tzinfo=UTC)


def states() -> list[tuple[str, str, int]]:
    return list(Receipt.objects.order_by("pk").values_list("status", "detail", "event_count"))


# --- routes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "type_", "events"),
    [
        (({},), "push", ["github.push"]),
        (({"type_pattern": "push"},), "push", ["github.push"]),
        (({"type_pattern": "push"},), "pusher", []),
        (({"type_pattern": "push"},), "Push", []),
        (({"type_pattern": "issues*"},), "issues", ["github.issues"]),
        (({"type_pattern": "issues.*"},), "issues.opened", ["github.issues.opened"]),
        (({"type_pattern": "issues.*"},), "issues", []),
        (({"type_pattern": "*"},), "", ["github.unknown"]),
        (({"event_type": "code.pushed"},), "push", ["code.pushed"]),
        (({"event_type": "{type}"},), "push", ["push"]),
        (({"event_type": "a.{type}.{provider}.b"},), "push", ["a.push.github.b"]),
        (({"disabled_at": NOW},), "push", []),
        ((), "push", []),
        (
            ({"event_type": "first"}, {"type_pattern": "issues"}, {"event_type": "second"}),
            "push",
            ["first", "second"],
        ),
    ],
)
def test_each_route_that_takes_a_receipt_makes_one_event(
    routes: tuple[dict[str, Any], ...], type_: str, events: list[str]
) -> None:
    make_receipt(make_source(routes=routes), type=type_)
    assert process_due_receipts() == 1
    assert list(Event.objects.order_by("pk").values_list("type", flat=True)) == events
    assert states() == [("processed", "" if events else "no route takes it", len(events))]


def test_a_route_of_another_source_takes_nothing() -> None:
    make_source(routes=({"event_type": "elsewhere"},))
    make_receipt(make_source(routes=()))
    process_due_receipts()
    assert states() == [("processed", "no route takes it", 0)]
    assert Event.objects.count() == 0


@pytest.mark.parametrize(
    ("type_", "event_type"),
    [
        ("orders/create", "shopify.orders.create"),
        ("repo:push", "shopify.repo.push"),
        ("invoice.paid", "shopify.invoice.paid"),
        ("", "shopify.unknown"),
        ("...", "shopify.unknown"),
        ("/a//b/", "shopify.a.b"),
        ("a..b", "shopify.a.b"),
        ("Zoë ✓", "shopify.Zo___"),
        ("a b\nc", "shopify.a_b_c"),
        ("under_score-dash", "shopify.under_score-dash"),
        ("x" * 200, "shopify." + "x" * 120),
        ("x" * 119 + ".y", "shopify." + "x" * 119),
        ("{provider}", "shopify._provider_"),
    ],
)
def test_names_the_event_after_the_provider_and_its_type(type_: str, event_type: str) -> None:
    make_receipt(make_source(provider="shopify"), type=type_)
    process_due_receipts()
    assert Event.objects.get().type == event_type


# --- the event ------------------------------------------------------------------------------------

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/json", b'{"b": 1,\t"a":1.0, "a":1e2}\n', b'{"b": 1,\t"a":1.0, "a":1e2}\n'),
        ("application/json", b"null", b"null"),
        ("", b"[1, 2]", b"[1, 2]"),
        ("text/plain", b"12345678901234567890123", b"12345678901234567890123"),
        (FORM, b"a=1&b=%C3%A9&b=2&c=", b'{"a":"1","b":["\xc3\xa9","2"],"c":""}'),
        (f"{FORM.title()}; charset=utf-8", b"a=1", b'{"a":"1"}'),
        (FORM, b"payload=%7B%22a%22%3A1%7D", rb'{"payload":"{\"a\":1}"}'),
        (FORM, b"", b'{"text":""}'),
        (
            'multipart/form-data; boundary="b"',
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--b--\r\n',
            b'{"a":"1"}',
        ),
        ("text/plain", "Zoë\x00".encode(), '{"text":"Zoë\\u0000"}'.encode()),
        ("application/xml", b"<a/>", b'{"a":null}'),
        ("", b"", b'{"text":""}'),
        ("", b"[" * 5000, b'{"text":"' + b"[" * 5000 + b'"}'),
        ("", b"NaN", b'{"text":"NaN"}'),
        ("text/plain", b"\xff\xfe", b'{"base64":"//4="}'),
        ("text/plain", b"\xed\xa0\x80", b'{"base64":"7aCA"}'),
    ],
    ids=lambda value: ascii(value[:16]),
)
def test_the_event_s_data_is_what_was_told(content_type: str, body: bytes, data: bytes) -> None:
    headers = {"content-type": content_type} if content_type else {}
    make_receipt(body=body, headers=headers)
    process_due_receipts()
    assert bytes(Event.objects.get().data) == data


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("signed_at", [None, NOW - timedelta(minutes=4)])
def test_the_event_names_the_receipt_that_caused_it(signed_at: datetime | None) -> None:
    received_at = NOW - timedelta(minutes=3)
    receipt = make_receipt(request_id="request-12345", signed_at=signed_at, received_at=received_at)
    subscription = make_subscription(receipt.account, event_types=("github.*",))
    process_due_receipts()
    event = Event.objects.get()
    assert event.account_id == receipt.account_id
    assert event.causation_id == f"receipt:{receipt.pk}"
    assert event.source_id == receipt.source_id
    assert event.correlation_id == "request-12345"
    assert event.occurred_at == (signed_at or received_at)
    assert event.created_at == NOW
    assert Delivery.objects.get().subscription_id == subscription.pk
    receipt.refresh_from_db()
    assert (receipt.status, receipt.processed_at) == ("processed", NOW)
    assert (receipt.lease_token, receipt.leased_until, receipt.next_attempt_at) == (
        None,
        None,
        None,
    )


def test_events_are_in_the_order_in_which_their_receipts_arrived() -> None:
    source = make_source()
    minutes = [3, 1, 5, 2, 4]
    receipts = {
        minute: make_receipt(source, received_at=NOW + timedelta(minutes=minute))
        for minute in minutes
    }
    process_due_receipts()
    causes = list(Event.objects.order_by("pk").values_list("causation_id", flat=True))
    assert causes == [receipts[minute].causation_id for minute in sorted(minutes)]


def test_notes_when_each_source_last_received() -> None:
    source, other, silent = make_source(), make_source(last_received_at=NOW), make_source()
    for minute in (2, 7, 5):
        make_receipt(source, received_at=NOW + timedelta(minutes=minute))
    make_receipt(other, received_at=NOW - timedelta(minutes=1))
    process_due_receipts()
    for each in (source, other, silent):
        each.refresh_from_db()
    assert source.last_received_at == NOW + timedelta(minutes=7)
    assert other.last_received_at == NOW
    assert silent.last_received_at is None


@time_machine.travel(NOW, tick=False)
def test_counts_each_call_that_a_source_took_once() -> None:
    source = make_source(accepted_count=5)
    for fields in (
        {"is_verified": True},
        {},
        {"is_counted": True},
        {"round": 2, "is_counted": True, "is_verified": True},
    ):
        make_receipt(source, received_at=NOW - timedelta(minutes=9), **fields)
    make_receipt(source, received_at=NOW)
    process_due_receipts()
    source.refresh_from_db()
    assert source.accepted_count == 5 + 3
    assert source.last_received_at == NOW
    assert source.last_verified_at == NOW - timedelta(minutes=9)
    assert (source.last_error, source.last_error_at) == ("", None)


def count_of(source: Source) -> tuple[int, int, int]:
    source.refresh_from_db()
    return source.accepted_count, source.duplicate_count, source.refused_count


def end_dead(source: Source) -> Receipt:
    """A receipt that no try could route."""
    source.routes.update(event_type="", expression="$error('no')")
    receipt = make_receipt(source, received_at=NOW, is_verified=True)
    for _ in range(len(RETRY_SECONDS) + 1):
        Receipt.objects.update(next_attempt_at=NOW)
        assert process_due_receipts() == 1
    receipt.refresh_from_db()
    assert (receipt.status, receipt.routed_at) == ("dead", None)
    return receipt


def process_again(receipt: Receipt) -> None:
    reprocess_receipt(receipt=receipt)
    process_due_receipts()


def replay_it(receipt: Receipt) -> None:
    selection = Selection(since=NOW, until=NOW + timedelta(seconds=1), source=receipt.source)
    start_replay(plan_replay(selection))
    assert advance_replays(clock.now()) == 1
    process_due_receipts()


@pytest.mark.parametrize("again", [process_again, replay_it])
def test_a_call_counts_once_whenever_its_routes_are_first_followed(
    again: Callable[[Receipt], None],
) -> None:
    source = make_source()
    receipt = end_dead(source)
    assert count_of(source) == (1, 0, 0)
    assert source.last_received_at == source.last_verified_at == NOW
    source.routes.update(expression="", event_type="{provider}.{type}")
    again(receipt)
    receipt.refresh_from_db()
    assert (receipt.status, count_of(source)) == ("processed", (1, 0, 0))
    replay_it(receipt)
    assert count_of(source) == (1, 0, 0)


def test_a_refused_call_that_is_replayed_counts_as_refused_alone() -> None:
    source = make_source()
    receipt = make_receipt(source, status="refused", received_at=NOW, is_verified=True)
    Receipt.objects.all().delete()
    record_refusal(
        source_id=source.pk,
        account_id=source.account_id,
        refused=Refused(Cause.RATE_LIMITED),
        receipt=receipt,
        now=NOW,
    )
    assert count_of(source) == (0, 0, 1)
    replay_it(receipt)
    assert Receipt.objects.get().status == "processed"
    assert count_of(source) == (0, 0, 1)


@pytest.mark.parametrize("decide", [release_quarantined, drop_quarantined])
def test_a_quarantined_call_counts_once_it_is_decided(decide: Callable[..., Receipt]) -> None:
    source = make_source()
    receipt = make_receipt(
        source, quarantined_at=NOW, next_attempt_at=None, received_at=NOW, is_verified=True
    )
    process_due_receipts()
    assert count_of(source) == (0, 0, 0)
    decide(receipt=receipt)
    process_due_receipts()
    assert count_of(source) == (1, 0, 0)
    receipt.refresh_from_db()
    replay_it(receipt)
    assert count_of(source) == (1, 0, 0)


# --- what else follows ----------------------------------------------------------------------------


def test_a_handler_waits_for_its_turn_and_the_receipt_for_its_handler() -> None:
    add_handler("a")
    receipt = make_receipt(round=3)
    process_due_receipts()
    run = HandlerRun.objects.get()
    assert (run.account_id, run.source_id, run.receipt_id) == (
        receipt.account_id,
        receipt.source_id,
        receipt.pk,
    )
    assert (run.handler, run.round, run.status, run.attempt_count) == ("a", 3, "pending", 0)
    assert run.next_attempt_at == run.created_at
    receipt.refresh_from_db()
    assert (receipt.status, receipt.event_count, receipt.action_count) == ("processing", 1, 2)
    assert receipt.routed_at is not None
    assert (receipt.processed_at, receipt.lease_token, receipt.leased_until) == (None, None, None)


def update(expression: str) -> dict[str, Any]:
    return {"action": "update", "expression": expression}


def test_an_update_changes_the_state_of_the_integration() -> None:
    source = make_source(routes=(update("$"),), state={"kept": 1})
    for minute, body in enumerate((b'{"a":1,"b":{"x":1}}', b'{"b":{"y":2},"a":null,"c":null}')):
        make_receipt(source, body=body, received_at=NOW + timedelta(minutes=minute))
    process_due_receipts()
    source.refresh_from_db()
    first, second = "2026-03-14T15:09:26.535897+00:00", "2026-03-14T15:10:26.535897+00:00"
    assert source.state == {
        "kept": 1,
        "b": {"y": 2},
        "_updated_at": {"a": second, "b": second, "c": second},
    }
    assert [count for _, _, count in states()] == [0, 0]
    assert list(Receipt.objects.values_list("action_count", flat=True)) == [1, 1]
    assert first < second


@pytest.mark.parametrize("signed", [False, True])
def test_an_older_receipt_changes_nothing_that_a_newer_one_told(signed: bool) -> None:
    source = make_source(routes=(update("$"),))
    for minute, body in ((5, b'{"a":"new"}'), (3, b'{"a":"old","b":"old"}')):
        moment = NOW + timedelta(minutes=minute)
        times = {"received_at": NOW, "signed_at": moment} if signed else {"received_at": moment}
        make_receipt(source, body=body, **times)
        process_due_receipts()
    source.refresh_from_db()
    assert source.state.pop("_updated_at").keys() == {"a", "b"}
    assert source.state == {"a": "new", "b": "old"}


def test_a_state_has_its_bound() -> None:
    source = make_source(routes=(update("$"),), state={"kept": 1})
    make_receipt(source, body=orjson.dumps({"big": "x" * 65_536}))
    make_receipt(source, body=b'{"small": 1}')
    process_due_receipts()
    source.refresh_from_db()
    assert [(status, detail) for status, detail, _ in states()] == [
        ("failed", "the state would have more than 65536 bytes"),
        ("processed", ""),
    ]
    assert (source.state["kept"], source.state["small"]) == (1, 1)
    assert "big" not in source.state


def test_people_are_told() -> None:
    message = "{type} of {json:name}"
    route = {"action": "notify", "recipients": ["ops@example.com"], "message": message}
    receipt = make_receipt(make_source(routes=(route,)), body=b'{"name": "Zo\xc3\xab"}')
    process_due_receipts()
    notification = Notification.objects.get()
    assert (notification.account_id, notification.kind) == (receipt.account_id, "receipt.routed")
    assert (notification.title, notification.text) == ("GitHub: push", "push of Zo\u00eb")
    assert notification.object_id == str(receipt.pk)


def test_what_a_transformation_gives_is_published() -> None:
    make_receipt(make_source(transformation='{"n": amount + 1}'), body=b'{"amount": 2}')
    process_due_receipts()
    assert orjson.loads(bytes(Event.objects.get().data)) == {"n": 3}


def test_nothing_follows_what_is_transformed_to_nothing() -> None:
    add_handler("a")
    make_receipt(make_source(transformation="absent"))
    process_due_receipts()
    assert states() == [("processed", "the transformation gives nothing", 0)]
    assert Event.objects.count() == HandlerRun.objects.count() == 0


@time_machine.travel(NOW, tick=False)
def test_a_transformation_that_fails_is_tried_again_and_spoils_nothing_else() -> None:
    source = make_source(transformation='{"n": amount + 1}')
    bad = make_receipt(source, body=b'{"amount": "no"}')
    make_receipt(source, body=b'{"amount": 2}')
    process_due_receipts()
    bad.refresh_from_db()
    assert (bad.status, bad.cause, bad.attempt_count) == ("failed", "evaluation_failed", 1)
    assert bad.detail.startswith("the transformation: failed: ")
    assert bad.next_attempt_at == NOW + timedelta(seconds=5)
    assert Event.objects.count() == 1
    source.refresh_from_db()
    assert source.last_error == f"evaluation_failed: {bad.detail}"
    assert source.last_error_at == NOW


def test_nothing_at_all_follows_where_a_part_fails() -> None:
    add_handler("a")
    routes = ({}, update('{"a": 1}'), {"event_type": "no type"})
    source = make_source(routes=routes)
    make_receipt(source)
    process_due_receipts()
    assert [status for status, _, _ in states()] == ["failed"]
    assert Event.objects.count() == HandlerRun.objects.count() == 0
    source.refresh_from_db()
    assert source.state == {}


def test_what_the_time_for_expressions_does_not_reach_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("incoming.routing.following.EVALUATION_SECONDS", -1.0)
    monkeypatch.setattr("incoming.routing.stages.EVALUATIONS_AT_ONCE", 2)
    source = make_source(transformation="$")
    for number in range(3):
        make_receipt(source, body=b"%d" % number)
    assert process_due_receipts() == 3
    assert [status for status, _, _ in states()] == ["processed", "processed", "accepted"]
    left = Receipt.objects.get(status="accepted")
    assert (left.lease_token, left.leased_until, left.attempt_count) == (None, None, 0)
    assert process_due_receipts() == 1
    assert Event.objects.count() == 3


# --- the same body --------------------------------------------------------------------------------


def test_a_body_that_came_before_under_another_id_is_noted() -> None:
    source = make_source()
    first = make_receipt(source, body=b"[1]", external_id="a")
    other = make_receipt(source, body=b"[2]", external_id="b")
    process_due_receipts()
    again = make_receipt(source, body=b"[1]", external_id="c")
    twice = make_receipt(source, body=b"[1]", external_id="d")
    process_due_receipts()
    for receipt in (first, other, again, twice):
        receipt.refresh_from_db()
    assert (first.same_body_as, other.same_body_as) == (None, None)
    assert again.same_body_as == first.pk
    assert twice.same_body_as in (first.pk, again.pk)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"external_id": "a"}, {"external_id": "a"}),
        ({"external_id": "a"}, {"external_id": ""}),
        ({"external_id": ""}, {"external_id": "b"}),
        ({"external_id": "a", "body": b""}, {"external_id": "b", "body": b""}),
        ({"external_id": "a", "status": "refused"}, {"external_id": "b"}),
        ({"external_id": "a", "status": "duplicate"}, {"external_id": "b"}),
    ],
)
def test_what_is_no_repeat_is_not_noted(before: dict[str, Any], after: dict[str, Any]) -> None:
    source = make_source()
    make_receipt(source, next_attempt_at=None, **before)
    make_receipt(external_id="c")  # of another source
    receipt = make_receipt(source, **after)
    process_due_receipts()
    receipt.refresh_from_db()
    assert receipt.same_body_as is None


# --- which receipts -------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_takes_what_is_due_and_nothing_else() -> None:
    due = make_receipt(next_attempt_at=NOW)
    make_receipt(next_attempt_at=NOW + timedelta(microseconds=1))
    for status in ("processed", "dead", "refused", "duplicate", "handshake"):
        make_receipt(status=status, next_attempt_at=None)
    assert process_due_receipts() == 1
    assert [event.causation_id for event in Event.objects.all()] == [due.causation_id]


def test_takes_the_longest_waiting_first_and_no_more_than_asked() -> None:
    source = make_source()
    waits = {
        minutes: make_receipt(source, next_attempt_at=clock.now() - timedelta(minutes=minutes))
        for minutes in (1, 9, 5)
    }
    assert process_due_receipts(limit=2) == 2
    assert Receipt.objects.filter(status="accepted").get() == waits[1]
    assert process_due_receipts(limit=2) == 1
    assert process_due_receipts(limit=2) == 0
    assert Event.objects.count() == 3


def test_an_idle_look_is_one_read(django_assert_num_queries: Any) -> None:
    make_receipt(status="processed", next_attempt_at=None)
    with django_assert_num_queries(1):
        assert process_due_receipts() == 0


@pytest.mark.parametrize("count", [1, 8])
def test_a_claim_costs_the_same_whatever_its_size(
    count: int, django_assert_max_num_queries: Any
) -> None:
    source = make_source()
    for number in range(count):
        make_receipt(source, body=b"%d" % number)
    with django_assert_max_num_queries(20) as captured:
        process_due_receipts()
    assert len(captured) == QUERIES_OF_A_CLAIM
    assert Event.objects.count() == count


# The look, the claim, the receipts, sources, routes, schemas with matches, events, the end, the
# source, and the savepoints that stand for transactions in a test.
QUERIES_OF_A_CLAIM = 15


# --- failures -------------------------------------------------------------------------------------


def refuse_by_schema(receipt: Receipt, name: str = "github.push") -> None:
    """Let only events with a number `amount` be of this type."""
    event_type = EventType.objects.create(account=receipt.account, name=name)
    schema = {
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "number"}},
    }
    EventSchema.objects.create(event_type=event_type, version=1, schema=schema)


@time_machine.travel(NOW, tick=False)
def test_a_receipt_that_fits_no_schema_fails_with_the_cause() -> None:
    receipt = make_receipt()
    refuse_by_schema(receipt)
    assert process_due_receipts() == 1
    receipt.refresh_from_db()
    assert receipt.status == "failed"
    assert receipt.cause == "schema_mismatch"
    assert receipt.detail == "the data does not fit github.push v1.0"
    assert (receipt.attempt_count, receipt.event_count) == (1, 0)
    assert receipt.next_attempt_at == NOW + timedelta(seconds=5)
    assert (receipt.lease_token, receipt.leased_until, receipt.processed_at) == (None, None, None)
    assert Event.objects.count() == Activity.objects.count() == 0


def test_is_tried_again_at_its_times_and_then_given_up() -> None:
    receipt = make_receipt()
    refuse_by_schema(receipt)
    with time_machine.travel(NOW, tick=False) as traveller:
        Receipt.objects.update(next_attempt_at=NOW)
        for number, seconds in enumerate(RETRY_SECONDS, 1):
            assert process_due_receipts() == 1
            receipt.refresh_from_db()
            assert (receipt.status, receipt.attempt_count) == ("failed", number)
            assert receipt.next_attempt_at == clock.now() + timedelta(seconds=seconds)
            traveller.shift(seconds - 0.001)
            assert process_due_receipts() == 0
            traveller.shift(0.002)
        assert Activity.objects.count() == 0
        with TestCase.captureOnCommitCallbacks(execute=True):
            assert process_due_receipts() == 1
        receipt.refresh_from_db()
        assert (receipt.status, receipt.attempt_count) == ("dead", len(RETRY_SECONDS) + 1)
        assert receipt.next_attempt_at is None
        traveller.shift(1_000_000)
        assert process_due_receipts() == 0
    activity = Activity.objects.get()
    assert (activity.account_id, activity.kind) == (receipt.account_id, "receipt.dead")
    assert (activity.object_type, activity.object_id) == (
        "incoming.source",
        str(receipt.source_id),
    )
    assert activity.text == (
        f"Receipt {receipt.pk} was given up after 6 tries: "
        "schema_mismatch: the data does not fit github.push v1.0"
    )
    assert Event.objects.count() == 0


def test_succeeds_when_what_was_wrong_is_right_again() -> None:
    receipt = make_receipt()
    refuse_by_schema(receipt)
    process_due_receipts()
    EventSchema.objects.all().delete()
    Receipt.objects.update(next_attempt_at=clock.now())
    assert process_due_receipts() == 1
    assert states() == [("processed", "", 1)]
    assert Event.objects.count() == 1


def test_one_bad_receipt_does_not_spoil_the_others() -> None:
    source = make_source()
    bodies = [b'{"amount":1}', b'{"amount":"no"}', b'{"amount":2}']
    receipts = [make_receipt(source, body=body) for body in bodies]
    refuse_by_schema(receipts[0])
    assert process_due_receipts() == 3
    assert states() == [
        ("processed", "", 1),
        ("failed", "the data does not fit github.push v1.0", 0),
        ("processed", "", 1),
    ]
    assert [bytes(event.data) for event in Event.objects.order_by("pk")] == [bodies[0], bodies[2]]


def test_a_receipt_is_never_published_by_half_of_its_routes() -> None:
    receipt = make_receipt(make_source(routes=({"event_type": "fine"}, {})))
    refuse_by_schema(receipt)
    process_due_receipts()
    assert [status for status, _, _ in states()] == ["failed"]
    assert Event.objects.count() == 0


def test_a_route_that_makes_no_event_type_fails_with_the_cause() -> None:
    make_receipt(make_source(routes=({"event_type": "no type"},)))
    process_due_receipts()
    assert states() == [
        (
            "failed",
            "'no type' is no event type; such are dotted names",
            0,
        )
    ]


# --- claims and crashes ---------------------------------------------------------------------------


def crash_after(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Callable[[], None]:
    """Let publishing succeed and something fail right after it, inside the transaction."""
    real = writing.publish_many

    def publish_and_crash(new_events: Any) -> None:
        real(new_events)
        assert Event.objects.exists()
        raise error

    monkeypatch.setattr(writing, "publish_many", publish_and_crash)
    return lambda: monkeypatch.setattr(writing, "publish_many", real)


def test_a_failure_after_publishing_takes_the_event_back(monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = make_receipt()
    mend = crash_after(monkeypatch, RuntimeError("out of luck"))
    assert process_due_receipts() == 1
    receipt.refresh_from_db()
    assert (receipt.status, receipt.cause, receipt.detail) == (
        "failed",
        "RuntimeError",
        "out of luck",
    )
    assert Event.objects.count() == 0
    mend()
    Receipt.objects.update(next_attempt_at=clock.now())
    assert process_due_receipts() == 1
    assert Event.objects.count() == 1
    assert states() == [("processed", "", 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OperationalError("the server is gone")])
def test_a_receipt_survives_the_death_of_its_pump(
    monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    receipt = make_receipt()
    mend = crash_after(monkeypatch, error)
    with time_machine.travel(clock.now(), tick=False) as traveller:
        with pytest.raises(type(error)):
            process_due_receipts()
        mend()
        receipt.refresh_from_db()
        assert (receipt.status, receipt.attempt_count) == ("processing", 0)
        assert receipt.leased_until == clock.now() + timedelta(seconds=LEASE_SECONDS)
        assert Event.objects.count() == 0
        assert process_due_receipts() == 0
        traveller.shift(LEASE_SECONDS)
        assert Receipt.objects.all().release_expired(clock.now()) == 0
        traveller.shift(0.001)
        assert Receipt.objects.all().release_expired(clock.now()) == 1
        receipt.refresh_from_db()
        assert (receipt.status, receipt.lease_token) == ("accepted", None)
        assert process_due_receipts() == 1
    assert Event.objects.count() == 1
    assert states() == [("processed", "", 1)]


def lose_the_claim_of(monkeypatch: pytest.MonkeyPatch, *lost: Receipt) -> None:
    """Let another pump take these between the claim and the work."""
    queryset_class = type(Receipt.objects.all())
    real = queryset_class.claim

    def claim(self: Any, **arguments: Any) -> Any:
        result = real(self, **arguments)
        Receipt.objects.filter(pk__in=[receipt.pk for receipt in lost]).update(lease_token=new_id())
        return result

    monkeypatch.setattr(queryset_class, "claim", claim)


def test_publishes_nothing_of_a_claim_that_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = make_receipt()
    lose_the_claim_of(monkeypatch, receipt)
    assert process_due_receipts() == 1
    receipt.refresh_from_db()
    assert (receipt.status, receipt.attempt_count, receipt.detail) == ("processing", 0, "")
    assert receipt.lease_token is not None
    assert Event.objects.count() == 0


def test_a_lost_claim_is_not_the_others_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_source()
    first, lost, last = (make_receipt(source) for _ in range(3))
    lose_the_claim_of(monkeypatch, lost)
    assert process_due_receipts() == 3
    assert [status for status, _, _ in states()] == ["processed", "processing", "processed"]
    causes = set(Event.objects.values_list("causation_id", flat=True))
    assert causes == {first.causation_id, last.causation_id}


def test_a_failure_of_a_lost_claim_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    receipt = make_receipt()
    crash = crash_after(monkeypatch, RuntimeError("late"))
    real = batches.fail

    def fail_late(*args: Any) -> None:
        Receipt.objects.update(lease_token=new_id())
        real(*args)

    monkeypatch.setattr(batches, "fail", fail_late)
    process_due_receipts()
    crash()
    receipt.refresh_from_db()
    assert (receipt.status, receipt.attempt_count, receipt.detail) == ("processing", 0, "")


# --- the pump -------------------------------------------------------------------------------------


class Turns:
    """A place that is given up after so many looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def goes_on(self) -> bool:
        self.left -= 1
        return self.left >= 0


def test_a_pump_returns_dead_pumps_claims_and_works_its_queue_off() -> None:
    source = make_source()
    make_receipt(source)
    make_receipt(
        source,
        status="processing",
        next_attempt_at=None,
        lease_token=new_id(),
        leased_until=clock.now() - timedelta(seconds=1),
    )
    assert run_processing_pump(Turns(1)) == 2  # type: ignore[arg-type]
    assert Event.objects.count() == 2


def test_a_pump_goes_on_after_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    make_receipt()
    slept: list[float] = []
    real = pump.process_due_receipts
    errors = [OperationalError("the server is gone")]

    def process_or_fail() -> int:
        if errors:
            raise errors.pop()
        return real()

    monkeypatch.setattr(pump, "process_due_receipts", process_or_fail)
    monkeypatch.setattr(pump.db, "close_old_connections", lambda: None)
    monkeypatch.setattr(pump.time, "sleep", slept.append)
    assert run_processing_pump(Turns(2)) == 1  # type: ignore[arg-type]
    assert slept == [pump.DATABASE_PAUSE_SECONDS]
    assert Event.objects.count() == 1


def test_a_pump_that_has_lost_its_place_takes_nothing() -> None:
    make_receipt()
    assert run_processing_pump(Turns(0)) == 0  # type: ignore[arg-type]
    assert states() == [("accepted", "", 0)]


# --- again, on a person's word --------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize("status", ["failed", "dead"])
def test_a_person_takes_a_receipt_up_again(status: str) -> None:
    receipt = make_receipt(
        status=status,
        attempt_count=6,
        cause="schema_mismatch",
        detail="…",
        next_attempt_at=None,
        signed_at=NOW - timedelta(days=9),
    )
    again = reprocess_receipt(receipt=receipt)
    assert again is receipt
    assert (receipt.status, receipt.attempt_count) == ("accepted", 0)
    assert (receipt.cause, receipt.detail, receipt.next_attempt_at) == ("", "", NOW)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.object_id) == ("receipt.reprocessed", str(receipt.pk))
    # By the verdict of its arrival, however long ago it was signed.
    assert process_due_receipts() == 1
    assert states() == [("processed", "", 1)]
    assert Event.objects.count() == 1


@pytest.mark.parametrize(
    "status", ["accepted", "processing", "processed", "refused", "duplicate", "handshake"]
)
def test_no_other_receipt_is_taken_up_again(status: str) -> None:
    receipt = make_receipt(status=status, next_attempt_at=None, attempt_count=2)
    with pytest.raises(StateNotAllowed, match="only a failed or dead receipt"):
        reprocess_receipt(receipt=receipt)
    receipt.refresh_from_db()
    assert (receipt.status, receipt.attempt_count) == (status, 2)
    assert receipt.next_attempt_at is None
    assert AuditEntry.objects.count() == Event.objects.count() == 0


def test_a_route_that_was_enabled_since_takes_it() -> None:
    route_source = make_source(routes=({"disabled_at": NOW},))
    receipt = make_receipt(route_source, status="dead", next_attempt_at=None)
    Route.objects.update(disabled_at=None)
    reprocess_receipt(receipt=receipt)
    process_due_receipts()
    assert states() == [("processed", "", 1)]
    assert orjson.loads(bytes(Event.objects.get().data)) == {}


def test_a_receipt_whose_body_was_pruned_is_not_taken_up_again() -> None:
    receipt = make_receipt(status="dead", next_attempt_at=None, body_pruned_at=NOW)
    with pytest.raises(StateNotAllowed, match="the receipt's body was pruned"):
        reprocess_receipt(receipt=receipt)
    assert AuditEntry.objects.count() == 0


def test_the_pump_moves_replays_on_twice_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"now": 1_000.0}
    advanced: list[float] = []
    monkeypatch.setattr(pump.time, "monotonic", lambda: state["now"])
    monkeypatch.setattr(
        pump.time, "sleep", lambda seconds: state.update(now=state["now"] + seconds)
    )
    monkeypatch.setattr(pump, "POLL_SECONDS", 0.25)
    monkeypatch.setattr(pump, "advance_replays", lambda now: advanced.append(state["now"]))
    run_processing_pump(Turns(5))  # type: ignore[arg-type]
    assert advanced == [1_000, 1_000.5, 1_001]


def test_a_replay_that_breaks_does_not_hold_receipts_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(now: datetime) -> int:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(pump, "advance_replays", break_down)
    make_receipt()
    assert run_processing_pump(Turns(1)) == 1  # type: ignore[arg-type]
    assert states() == [("processed", "", 1)]
