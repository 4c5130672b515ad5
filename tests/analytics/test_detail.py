"""What is counted by source and by the sender's types, and from when on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
import time_machine
from django.apps import apps

from analytics import types
from analytics.counting import count_marked
from analytics.models import Detail, ReceiptRollup, ReceiptType, Rollup, Scope
from analytics.periods import Grain
from analytics.query import Dimension, Measure, Query, answer
from analytics.rebuild import rebuild_rollups
from analytics.tallies import ReceiptKey, id_of
from incoming.models import Receipt, Source
from tests.factories import (
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_receipt_rollup,
    make_rollup,
    make_source,
    make_subscription,
)
from webhooks_project.uncounted import Kind, mark_uncounted

pytestmark = pytest.mark.django_db

DAY = datetime(2026, 11, 20, tzinfo=UTC)
NOON = DAY + timedelta(hours=12)
DETAIL = import_module("analytics.migrations.0008_detail")


def receive(source: Source, type_: str, at: datetime = NOON, **fields: Any) -> Receipt:
    return make_receipt(source, type=type_, received_at=at, next_attempt_at=None, **fields)


def counted(*names: str, **filters: Any) -> list[tuple[Any, ...]]:
    """The rows of the full key by the day."""
    rows = ReceiptRollup.objects.filter(scope=Scope.FULL, grain=Grain.DAY, **filters)
    return sorted(rows.values_list(*names, "receipts"))


def answered(dimension: Dimension, *measures: Measure) -> dict[str, list[Any]]:
    query = Query(
        measures=measures, dimensions=[dimension], since=DAY, until=DAY + timedelta(days=1)
    )
    return {row.keys[dimension]: list(row.values.values()) for row in answer(query).rows}


# --- types ----------------------------------------------------------------------------------------


def test_of_a_source_as_many_types_count_as_it_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(types, "MAX_TYPES", 3)
    source, other = make_source(), make_source()
    for name in ("c", "a"):
        receive(source, name)
    count_marked()
    for name in ("b", "d", "e", "a"):
        receive(source, name)
    receive(other, "e")
    count_marked()
    assert counted("event_type", source=source) == [("", 2), ("a", 2), ("b", 1), ("c", 1)]
    assert counted("event_type", source=other) == [("e", 1)]
    assert sorted(ReceiptType.objects.filter(source=source).values_list("type", flat=True)) == [
        "a", "b", "c",
    ]  # fmt: skip
    assert answered(Dimension.EVENT_TYPE, Measure.RECEIPTS) == {
        "(none)": [2], "a": [2], "b": [1], "c": [1], "e": [1],
    }  # fmt: skip
    assert rebuild_rollups(since=DAY, until=NOON).changed == 0


def test_what_is_refused_counts_under_no_type() -> None:
    source = make_source()
    receive(source, "forged", status="refused", refusal="signature_mismatch")
    receive(source, "checked", status="handshake")
    receive(source, "order.paid", status="duplicate")
    # Refused on arrival, whatever a person made of it later.
    receive(source, "forged", status="processed", refusal="signature_mismatch")
    count_marked()
    assert counted("verdict", "event_type") == [
        ("duplicate", "order.paid", 1), ("handshake", "", 1), ("refused", "", 2),
    ]  # fmt: skip
    assert ReceiptType.objects.count() == 1


def test_types_are_looked_up_once_and_kept_without_the_lock(
    django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source()
    sent = {source.pk: ["a", "b"]}
    assert types.counted_types(sent) == {source.pk: {"a", "b"}}
    with django_assert_num_queries(1):
        assert types.counted_types(sent) == {source.pk: {"a", "b"}}
    monkeypatch.setattr(types, "MAX_TYPES", 2)
    with django_assert_num_queries(1):  # full: nobody waits to find that again
        assert types.counted_types({source.pk: ["c"]}) == {source.pk: {"a", "b"}}


# --- sources of attempts --------------------------------------------------------------------------


def test_attempts_count_by_the_source_that_their_event_came_in_through() -> None:
    subscription = make_subscription()
    source = make_source(subscription.account)
    sent = make_event(subscription.account, source_id=source.pk)
    for event, cause in ((sent, "dns"), (make_event(subscription.account), "")):
        make_attempt(make_delivery(event, subscription), started_at=NOON, cause=cause)
    receive(source, "order.paid")
    count_marked()
    measures = (Measure.ATTEMPTS, Measure.FAILED, Measure.RECEIPTS)
    assert answered(Dimension.SOURCE, *measures) == {str(source.pk): [1, 1, 1]}
    rows = Rollup.objects.filter(scope=Scope.FULL, grain=Grain.MINUTE, source=source)
    assert list(rows.values_list("cause", "attempts")) == [("dns", 1)]


def test_what_was_counted_outlives_its_source() -> None:
    subscription = make_subscription()
    source = make_source(subscription.account)
    event = make_event(subscription.account, source_id=source.pk)
    make_attempt(make_delivery(event, subscription), started_at=NOON)
    Source.objects.filter(pk=source.pk).delete()
    count_marked()
    assert answered(Dimension.SOURCE, Measure.ATTEMPTS) == {str(source.pk): [1]}


# --- a hub that had counted without them ----------------------------------------------------------


def test_what_happened_before_stays_under_the_key_that_it_was_counted_by() -> None:
    subscription = make_subscription()
    source = make_source(subscription.account)
    delivery = make_delivery(make_event(source.account, source_id=source.pk), subscription)
    Detail.objects.create(since=DAY)
    for at, number in ((DAY - timedelta(minutes=1), 1), (DAY, 2)):
        make_attempt(delivery, started_at=at, number=number)
        receive(source, "order.paid", at)
    count_marked()
    rows = Rollup.objects.filter(scope=Scope.FULL, grain=Grain.DAY).order_by("at")
    assert list(rows.values_list("source", "attempts")) == [(None, 1), (source.pk, 1)]
    assert counted("event_type") == [("", 1), ("order.paid", 1)]
    assert ReceiptType.objects.count() == 1
    mark_uncounted(Kind.RECEIPT, [DAY - timedelta(minutes=1), DAY])
    count_marked()
    assert counted("event_type") == [("", 1), ("order.paid", 1)]
    assert rebuild_rollups(since=DAY - timedelta(days=1), until=NOON).changed == 0


@pytest.mark.parametrize("make", [
    lambda: make_rollup(make_subscription(), DAY),
    lambda: make_receipt_rollup(make_source(), DAY),
])  # fmt: skip
def test_a_hub_that_has_counted_tells_them_apart_from_the_next_day_on(make: Any) -> None:
    make()
    for _ in range(2):
        with time_machine.travel(NOON, tick=False):
            DETAIL.note_since_when(apps, None)
    assert list(Detail.objects.values_list("since", flat=True)) == [DAY + timedelta(days=1)]


def test_a_new_hub_always_tells_them_apart() -> None:
    DETAIL.note_since_when(apps, None)
    assert not Detail.objects.exists()
    assert types.detailed_since() is None


@pytest.mark.parametrize("batch", [2, 2_000])
def test_rows_by_source_and_of_no_type_begin_with_what_was_counted(
    batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_source()
    two = make_source(one.account)
    Detail.objects.create(since=DAY + timedelta(days=1))
    for source in (one, two, two):
        receive(source, "order.paid")
    count_marked()
    wanted = everything()
    new = ReceiptRollup.objects.filter(scope__in=[Scope.EVENT_TYPE, Scope.SOURCE])
    assert new.count() == 9
    new.delete()
    monkeypatch.setattr(DETAIL, "BATCH", batch)
    for _ in range(2):
        DETAIL.copy_rows(apps, None)
        assert everything() == wanted
    assert rebuild_rollups(since=DAY, until=NOON).changed == 0


def everything() -> set[tuple[Any, ...]]:
    return set(ReceiptRollup.objects.values_list())


def test_ids_are_those_that_keys_without_a_type_had() -> None:
    source = make_source()
    row = make_receipt_rollup(source, DAY, grain=Grain.DAY, scope=Scope.SOURCE)
    key = ReceiptKey(source.account_id, source.pk, row.verdict, row.cause)
    assert DETAIL.id_of(row) == id_of((Scope.SOURCE, Grain.DAY, DAY, key))
    assert id_of((Scope.FULL, Grain.DAY, DAY, key)) != id_of(
        (Scope.FULL, Grain.DAY, DAY, key._replace(event_type="x"))
    )
