"""Rollups are what counting the attempts and receipts one by one gives, in whatever order and
however often they are counted."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from unittest.mock import ANY

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import counting
from analytics.counting import count_marked
from analytics.models import ReceiptRollup, Rollup, Scope
from analytics.periods import Grain, start_of
from analytics.sketches import bin_of, stored
from incoming.models import Receipt, RefusalMinute
from outgoing.models import Attempt, Delivery
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project import uncounted
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import Kind, mark_uncounted, thin_out

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 31, 22, 58, tzinfo=UTC)  # close to a month
CAUSES = ["", "dns", "timeout_response", "status_5xx"]
CODES = {"": 204, "status_5xx": 503}
FIELDS = (
    "scope", "grain", "at", "account_id", "subscription_id", "event_type", "source_id", "cause",
    "status_class", "attempts", "first_attempts", "retries", "exhausted", "request_bytes",
    "response_bytes", "total_us_sum", "total_us_max", "queue_wait", "response", "total",
)  # fmt: skip
# Which of account, subscription, type and source each scope has.
TELLS = {
    Scope.HUB: (False, False, False, False),
    Scope.ACCOUNT: (True, False, False, False),
    Scope.EVENT_TYPE: (True, False, True, False),
    Scope.SUBSCRIPTION: (True, True, False, False),
    Scope.SOURCE: (True, False, False, True),
    Scope.FULL: (True, True, True, True),
}
OF_MINUTES = (Scope.HUB, Scope.ACCOUNT, Scope.FULL)

ATTEMPTS = st.lists(
    st.tuples(
        st.integers(0, 3),  # which delivery
        st.integers(-60_000, 4_000_000),  # milliseconds since the start
        st.sampled_from(CAUSES),
        st.floats(0, 60_000, allow_nan=False),  # duration
        st.one_of(st.none(), st.floats(0, 30_000, allow_nan=False)),  # first byte
    ),
    max_size=15,
)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def rollups() -> set[tuple[Any, ...]]:
    found = [(*row[:-3], *map(bytes, row[-3:])) for row in Rollup.objects.values_list(*FIELDS)]
    assert len(found) == len(set(found))
    return set(found)


def recomputed() -> set[tuple[Any, ...]]:
    """The same by hand: each attempt into each row that it belongs to."""
    groups: dict[Any, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.select_related("delivery__event"):
        delivery = attempt.delivery
        code = attempt.status_code
        for scope, (by_account, by_subscription, by_type, by_source) in TELLS.items():
            if scope is Scope.SOURCE and delivery.event.source_id is None:
                continue
            for grain in Grain:
                if grain is Grain.MINUTE and scope not in OF_MINUTES:
                    continue
                groups[
                    scope, grain, start_of(attempt.started_at, grain),
                    delivery.account_id if by_account else None,
                    delivery.subscription_id if by_subscription else None,
                    delivery.event.type if by_type else "",
                    delivery.event.source_id if by_source else None,
                    attempt.cause, f"{code // 100}xx" if code else "",
                ].append(attempt)  # fmt: skip
    return {
        (
            *key,
            len(group),
            sum(attempt.number == 1 for attempt in group),
            sum(attempt.trigger == "retry" for attempt in group),
            sum(attempt.gave_up for attempt in group),
            sum(attempt.request_bytes for attempt in group),
            sum(attempt.response_bytes for attempt in group),
            sum(round(attempt.duration_ms * 1000) for attempt in group),
            max(round(attempt.duration_ms * 1000) for attempt in group),
            sketch([attempt.queue_wait_ms for attempt in group]),
            sketch([ms for attempt in group if (ms := attempt.first_byte_ms) is not None]),
            sketch([attempt.duration_ms for attempt in group]),
        )
        for key, group in groups.items()
    }


def sketch(values: list[float]) -> bytes:
    bins: dict[int, int] = defaultdict(int)
    for value in values:
        bins[bin_of(value)] += 1
    return stored(bins)


def make_deliveries() -> list[Delivery]:
    shared = make_subscription()
    other = make_event(
        shared.account, type="invoice.void", source_id=make_source(shared.account).pk
    )
    sent = make_event(shared.account, source_id=make_source(shared.account).pk)
    return [
        make_delivery(subscription=shared),
        make_delivery(sent, shared),
        make_delivery(other, shared),
        make_delivery(),
    ]


def add(deliveries: list[Delivery], attempts: list[Any]) -> None:
    """Store them in one transaction as the engine does, mark and all."""
    numbers = [delivery.attempts.count() for delivery in deliveries]
    made = []
    for which, milliseconds, cause, duration_ms, first_byte_ms in attempts:
        numbers[which] += 1
        made.append(
            Attempt(
                delivery=deliveries[which],
                number=numbers[which],
                trigger="first" if numbers[which] == 1 else "retry",
                outcome="failed" if cause else "succeeded",
                cause=cause,
                status_code=CODES.get(cause),
                started_at=START + timedelta(milliseconds=milliseconds),
                queue_wait_ms=duration_ms / 3,
                first_byte_ms=first_byte_ms,
                duration_ms=duration_ms,
                request_bytes=100 + which,
                response_bytes=numbers[which],
                gave_up=bool(cause) and numbers[which] % 2 == 0,
            )
        )
    Attempt.objects.bulk_create(made)
    mark_uncounted(Kind.ATTEMPT, (attempt.started_at for attempt in made))


def test_is_what_counting_by_hand_gives_late_rows_and_repeats_included() -> None:
    deliveries = make_deliveries()

    @settings(max_examples=25, deadline=None, database=None)
    @given(history=st.lists(ATTEMPTS, max_size=3), again=st.booleans())
    def holds(history: list[list[Any]], again: bool) -> None:
        Rollup.objects.all().delete()
        Attempt.objects.all().delete()
        Uncounted.objects.all().delete()
        for attempts in history:
            add(deliveries, attempts)
            count_marked()
            if again:
                mark_uncounted(Kind.ATTEMPT, (START + timedelta(hours=n) for n in range(2)))
                count_marked()
            assert rollups() == recomputed()
        assert not Uncounted.objects.exists()

    holds()


# --- crashes, and two at once ---------------------------------------------------------------------


class Crash(Exception):
    pass


@pytest.mark.parametrize("step", ["read", "stored_tallies", "add_to_rows", "delete_marks"])
def test_a_crash_between_any_two_steps_loses_nothing_and_counts_nothing_twice(step: str) -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0), (1, 120_000, "dns", 7.0, None)])
    count_marked()
    add(deliveries, [(0, 30_000, "status_5xx", 3.0, 2.0), (2, 90_000, "", 4.0, 1.0)])
    before = rollups()
    works = getattr(counting, step)

    def crashes(*args: Any, **kwargs: Any) -> Any:
        works(*args, **kwargs)
        raise Crash

    with mock.patch.object(counting, step, crashes), pytest.raises(Crash):
        count_marked()
    assert rollups() == before
    assert Uncounted.objects.count() == 2
    count_marked()
    assert rollups() == recomputed()
    assert not Uncounted.objects.exists()


def test_what_commits_while_it_counts_is_counted_the_next_time() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0)])
    reads = counting.read

    def read_and_then_commit(*args: Any) -> Any:
        found = reads(*args)
        add(deliveries, [(1, 1, "", 20.0, 5.0)])  # the rows were read
        return found

    with mock.patch.object(counting, "read", read_and_then_commit):
        count_marked()
    assert Uncounted.objects.count() == 1
    assert Rollup.objects.get(scope=Scope.HUB, grain=Grain.DAY).attempts == 1
    count_marked()
    assert rollups() == recomputed()


def test_two_that_have_read_the_same_marks_count_them_once() -> None:
    """The second writes what it read before the first wrote, and something older at that."""
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0)])
    [mark] = Uncounted.objects.values_list("pk", "kind", "minute")
    slow = counting._counted([mark])
    add(deliveries, [(1, 1, "", 20.0, 5.0), (0, 61_000, "dns", 1.0, None)])
    count_marked()
    counting._write(slow)
    assert rollups() == recomputed()
    assert not Uncounted.objects.exists()


def test_many_marks_go_in_several_transactions(monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries = make_deliveries()
    for number in range(12):
        add(deliveries, [(number % 4, number * 61_000, "", 1.0 + number, 1.0)] * 2)
    monkeypatch.setattr(counting, "MARKS_TOGETHER", 5)
    monkeypatch.setattr(counting, "ROWS_TOGETHER", 4)
    assert count_marked(lambda: False).is_done is False
    assert Uncounted.objects.count() == 10
    done = count_marked()
    assert (done.is_done, done.periods) == (True, 10)
    assert rollups() == recomputed()


def test_what_happens_now_is_counted_before_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries = make_deliveries()
    for number in range(6):
        add(deliveries, [(0, number * 61_000, "", 1.0, 1.0)])
    now = START + timedelta(days=2)
    make_attempt(deliveries[1], started_at=now)
    monkeypatch.setattr(counting, "MARKS_TOGETHER", 3)
    monkeypatch.setattr(counting, "ROWS_TOGETHER", 1)
    with time_machine.travel(now + timedelta(minutes=1), tick=False):
        assert count_marked(lambda: False) == counting.Counted(1, ANY, is_done=False)
        assert Rollup.objects.get(scope=Scope.HUB, grain=Grain.MINUTE).at == now
        assert Uncounted.objects.count() == 6
        assert count_marked().is_done
    assert not Uncounted.objects.exists()
    assert rollups() == recomputed()


def test_marks_are_thinned_out_to_new_ones() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0), (0, 61_000, "", 10.0, 5.0)])
    for _ in range(600):
        mark_uncounted(Kind.ATTEMPT, [START, minute(1)])
    mark_uncounted(Kind.RECEIPT, [START])
    old = set(Uncounted.objects.values_list("pk", flat=True))
    assert thin_out() == 1200
    assert set(Uncounted.objects.values_list("kind", "minute")) == {
        (Kind.ATTEMPT, START), (Kind.ATTEMPT, minute(1)), (Kind.RECEIPT, START),
    }  # fmt: skip
    assert not old & set(Uncounted.objects.values_list("pk", flat=True))
    count_marked()
    assert rollups() == recomputed()


def test_all_marks_are_thinned_out_a_part_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uncounted, "MAX_THINNED", 10)
    monkeypatch.setattr(uncounted, "MIN_FEWER", 2)
    for _ in range(35):
        mark_uncounted(Kind.ATTEMPT, [START])
    assert thin_out() == 31
    assert Uncounted.objects.count() == 4  # one of each part
    monkeypatch.setattr(uncounted, "MAX_PARTS", 1)
    for _ in range(35):
        mark_uncounted(Kind.ATTEMPT, [START])
    assert thin_out() == 9


def test_few_marks_are_left_as_they_are() -> None:
    mark_uncounted(Kind.ATTEMPT, [START])
    mark_uncounted(Kind.ATTEMPT, [START])
    assert thin_out() == 0
    assert Uncounted.objects.count() == 2


def test_one_statement_marks_a_whole_batch(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        mark_uncounted(Kind.ATTEMPT, (minute(number % 3) for number in range(500)))
    with django_assert_num_queries(0):
        mark_uncounted(Kind.ATTEMPT, [])
    assert Uncounted.objects.count() == 3


# --- what is not there any more -------------------------------------------------------------------


def test_a_minute_that_was_pruned_is_never_counted_to_less() -> None:
    deliveries = make_deliveries()
    add(deliveries, [(0, 0, "", 10.0, 5.0), (0, 1, "dns", 10.0, 5.0), (3, 2, "", 8.0, 5.0)])
    count_marked()
    before = rollups()
    Attempt.objects.filter(delivery=deliveries[0], number=2).delete()
    mark_uncounted(Kind.ATTEMPT, [START])
    count_marked()
    assert rollups() == before
    assert not Uncounted.objects.exists()
    add(deliveries, [(3, 3, "", 9.0, 5.0)])  # another account's minute goes on
    count_marked()
    hub = Rollup.objects.filter(scope=Scope.HUB, grain=Grain.MONTH)
    assert sum(row.attempts for row in hub) == 4


# --- receipts -------------------------------------------------------------------------------------


def test_receipts_are_counted_by_their_verdict_whatever_became_of_them() -> None:
    source = make_source()
    other = make_source(make_account())
    for status, cause in (
        ("accepted", ""), ("processed", ""), ("dead", "handler_failed"), ("duplicate", ""),
        ("handshake", ""), ("refused", "signature_mismatch"), ("refused", "signature_mismatch"),
    ):  # fmt: skip
        make_receipt(source, body=b"12345", status=status, cause=cause, received_at=START)
    make_receipt(other, body=b"1", received_at=START + timedelta(minutes=1))
    RefusalMinute.objects.create(
        account=source.account, source=source, minute=START, cause="signature_mismatch", count=40
    )
    count_marked()
    assert by_verdict(Scope.FULL, source_id=source.pk) == {
        ("accepted", ""): (3, 15), ("duplicate", ""): (1, 5), ("handshake", ""): (1, 5),
        ("refused", "signature_mismatch"): (42, 10),
    }  # fmt: skip
    assert by_verdict(Scope.HUB)["accepted", ""] == (4, 16)
    Receipt.objects.filter(status="accepted").update(status="failed", cause="handler_failed")
    mark_uncounted(Kind.RECEIPT, [START])
    count_marked()
    assert by_verdict(Scope.HUB)["accepted", ""] == (4, 16)


def test_bodies_that_were_emptied_keep_their_bytes() -> None:
    make_receipt(body=b"12345", received_at=START)
    count_marked()
    Receipt.objects.update(body=b"")
    mark_uncounted(Kind.RECEIPT, [START])
    count_marked()
    assert by_verdict(Scope.HUB) == {("accepted", ""): (1, 5)}


def by_verdict(scope: Scope, **of: Any) -> dict[tuple[str, str], tuple[int, int]]:
    """The same in each grain."""
    found = [
        {
            (row.verdict, row.cause): (row.receipts, row.receipt_bytes)
            for row in ReceiptRollup.objects.filter(scope=scope, grain=grain, **of)
        }
        for grain in (Grain.HOUR, Grain.DAY, Grain.MONTH)
    ]
    assert found[0] == found[1] or scope is Scope.HUB
    assert found[1] == found[2]
    return found[2]


def test_takes_the_same_number_of_queries_whatever_there_is(
    django_assert_max_num_queries: Any,
) -> None:
    counts = []
    for size in (2, 6):
        for _ in range(size):
            make_attempt(started_at=START)
        with django_assert_max_num_queries(20) as captured:
            count_marked()
        counts.append(len(captured))
    # The second finds rows to replace.
    assert counts[1] <= counts[0] + 2
