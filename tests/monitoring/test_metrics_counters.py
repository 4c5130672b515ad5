"""Counters: each row is counted once, whoever asks, and never taken back."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import TestCase
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from incoming.models import Receipt
from incoming.providers import Cause, Refused
from incoming.refusals import record_refusal
from monitoring import journal
from monitoring.metrics import counting, readings
from monitoring.metrics.catalogue import (
    ATTEMPT_SECONDS,
    FIRST_BYTE_SECONDS,
    METRICS,
    QUEUE_WAIT_SECONDS,
    Type,
)
from monitoring.models import Activity, MetricsReading
from outgoing.models import Attempt, Event
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
)
from tests.monitoring.metrics_page import TOKEN, begin, count_all, scrape
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _token(settings: Any) -> None:
    settings.WEBHOOKS_METRICS_TOKEN = TOKEN


def attempts() -> dict[tuple[str, ...], float]:
    """By cause, outcome and trigger: the order of the labels' names."""
    return scrape().all("webhooks_attempts_total")


def test_attempts_are_counted_by_trigger_outcome_and_cause() -> None:
    begin()
    delivery = make_delivery()
    make_attempt(delivery, outcome="failed", cause="timeout_response")
    make_attempt(delivery, outcome="failed", cause="timeout_response", trigger="retry")
    make_attempt(delivery, trigger="retry")
    make_attempt(trigger="retry")
    assert attempts() == {
        ("timeout_response", "failed", "first"): 1,
        ("timeout_response", "failed", "retry"): 1,
        ("none", "succeeded", "retry"): 2,
    }


def test_receipts_are_counted_by_their_answer_and_refusals_by_cause() -> None:
    begin()
    source = make_source()
    for status in ("accepted", "processing", "processed", "failed", "dead"):
        make_receipt(source, status=status)
    make_receipt(source, status="duplicate")
    make_receipt(source, status="handshake")
    for cause, count in ((Cause.SIGNATURE_MISMATCH, 3), (Cause.RATE_LIMITED, 2)):
        for _ in range(count):
            record_refusal(
                source_id=source.pk, account_id=source.account_id, refused=Refused(cause),
                receipt=None, now=clock.now(),
            )  # fmt: skip
    page = scrape()
    assert page.all("webhooks_receipts_total") == {
        ("accepted",): 5, ("duplicate",): 1, ("handshake",): 1, ("refused",): 5,
    }  # fmt: skip
    assert page.all("webhooks_refusals_total") == {
        (Cause.SIGNATURE_MISMATCH.value,): 3,
        (Cause.RATE_LIMITED.value,): 2,
    }


def test_refusals_are_counted_over_the_change_of_an_hour() -> None:
    source = make_source()
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    totals: dict[str, Any] = {}
    marks: dict[str, Any] = {}

    def refuse(minutes: float, times: int = 1) -> None:
        for _ in range(times):
            record_refusal(
                source_id=source.pk, account_id=source.account_id,
                refused=Refused(Cause.RATE_LIMITED), receipt=None,
                now=hour + timedelta(minutes=minutes),
            )  # fmt: skip

    def counted(minutes: float) -> int:
        counting.count_refusals(totals, marks, hour + timedelta(minutes=minutes))
        return int(sum(totals.get("webhooks_refusals", {}).values()))

    refuse(10, 100)
    assert counted(20) == 0  # these were there before
    refuse(30, 2)
    assert counted(40) == 2
    refuse(59)
    assert counted(61) == 3
    refuse(59)  # written late
    refuse(62, 3)
    assert counted(63) == 7
    assert counted(70) == 7
    refuse(71)
    assert counted(72) == 8
    assert counted(130) == 8
    source.delete()
    assert counted(131) == 8


def test_events_are_counted_by_their_origin() -> None:
    begin()
    make_event()
    make_event(causation_id="event:1")
    make_event(causation_id=f"receipt:{make_receipt().pk}")
    make_event(type="subscription.failing")
    assert scrape().all("webhooks_events_total") == {
        ("published",): 2,
        ("receipt",): 1,
        ("hub",): 1,
    }


def test_dead_letters_and_breakers_are_counted_as_they_come() -> None:
    begin()
    account = make_account()
    for kind in ("delivery.exhausted", "delivery.exhausted", "receipt.dead", "breaker.opened",
                 "breaker.closed", "something.else"):  # fmt: skip
        journal.record_activity(account_id=account.pk, kind=kind, text="t", subject=account)
    journal.record_activity(account_id=account.pk, kind="delivery.cancelled", text="t")
    page = scrape()
    assert page.all("webhooks_dead_letters_total") == {("delivery",): 2, ("receipt",): 1}
    assert page.all("webhooks_deliveries_ended_total") == {("exhausted",): 2, ("cancelled",): 1}
    assert page.all("webhooks_breaker_moves_total") == {("open",): 1, ("closed",): 1}


def test_a_line_that_counts_many_dead_letters_counts_for_as_many() -> None:
    begin()
    account = make_account()

    def lose(times: int) -> None:
        for _ in range(times):
            with transaction.atomic():
                journal.count_activity(
                    account_id=account.pk, kind="delivery.exhausted", text="t", subject=account
                )

    def counted() -> dict[tuple[str, ...], float]:
        return scrape().all("webhooks_dead_letters_total")

    with TestCase.captureOnCommitCallbacks(execute=True):
        lose(3)
    assert counted() == {("delivery",): 3}
    with TestCase.captureOnCommitCallbacks(execute=True):
        lose(2)  # the hour's line is counted already, and grows
    assert [counted(), counted()] == [{("delivery",): 5}] * 2


def test_dead_letters_are_counted_over_the_change_of_an_hour() -> None:
    account = make_account()
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    totals: dict[str, Any] = {}
    marks: dict[str, Any] = {}

    def lose(minutes: float, times: int) -> None:
        at = hour + timedelta(minutes=minutes)
        Activity.objects.create(
            account=account, kind="receipt.dead", text="t", created_at=at, count=times
        )

    def counted(minutes: float) -> int:
        counting.count_ends(totals, marks, hour + timedelta(minutes=minutes))
        return int(sum(totals.get("webhooks_dead_letters", {}).values()))

    lose(10, 100)
    assert counted(20) == 0  # these were there before
    lose(30, 2)
    assert counted(40) == 2
    lose(59, 7)  # written late
    lose(62, 3)
    assert [counted(63), counted(70), counted(130)] == [12] * 3
    Activity.objects.all().delete()
    assert counted(131) == 12


@pytest.mark.parametrize(
    ("metric", "column", "labels"),
    [
        (ATTEMPT_SECONDS, "duration_ms", {"outcome": "succeeded"}),
        (FIRST_BYTE_SECONDS, "first_byte_ms", {"outcome": "succeeded"}),
        (QUEUE_WAIT_SECONDS, "queue_wait_ms", {"trigger": "first"}),
    ],
)
def test_latencies_fall_into_their_buckets(metric: Any, column: str, labels: Any) -> None:
    begin()
    values = [0.0, 5.0, 5.001, 10.0, 249.9, 60_000.0, 3_600_000.0, 9_999_999.0]
    for value in values:
        make_attempt(**{column: value})
    page = scrape()
    for bound in metric.buckets:
        le = next(
            dict(key)["le"]
            for key in page.samples[f"{metric.name}_bucket"]
            if float(dict(key)["le"]) == bound
        )
        expected = sum(value <= bound * 1000 for value in values)
        assert page.get(f"{metric.name}_bucket", le=le, **labels) == expected, bound
    assert page.get(f"{metric.name}_bucket", le="+Inf", **labels) == len(values)
    assert page.get(f"{metric.name}_count", **labels) == len(values)
    assert page.get(f"{metric.name}_sum", **labels) == pytest.approx(sum(values) / 1000)


def test_an_attempt_without_an_answer_has_no_first_byte() -> None:
    begin()
    make_attempt(first_byte_ms=None, outcome="failed", cause="dns")
    page = scrape()
    assert page.all("webhooks_attempt_first_byte_seconds_count") == {}
    assert page.all("webhooks_attempt_seconds_count") == {("failed",): 1}


def test_what_was_there_before_the_first_reading_is_not_counted() -> None:
    make_attempt()
    make_receipt()
    readings.current_reading()
    assert counting.MARK in MetricsReading.objects.get().marks
    count_all()  # the first reading's mark lies half a minute back
    begin_at = MetricsReading.objects.get().marks[counting.MARK]
    assert begin_at > clock.now().isoformat()[:10]


def test_a_row_is_counted_once_however_often_one_asks() -> None:
    begin()
    make_attempt()
    for _ in range(3):
        assert attempts() == {("none", "succeeded", "first"): 1}


def test_what_was_pruned_and_what_was_deleted_stays_counted() -> None:
    begin()
    make_attempt()
    make_receipt()
    scrape()
    Attempt.objects.all().delete()
    Receipt.objects.all().delete()
    Event.objects.all().delete()
    Account.objects.all().delete()
    page = scrape()
    assert page.all("webhooks_attempts_total") == {("none", "succeeded", "first"): 1}
    assert page.all("webhooks_deliveries_ended_total") == {("delivered",): 1}
    assert page.get("webhooks_receipts_total", outcome="accepted") == 1
    assert page.get("webhooks_events_total", origin="published") == 1


def test_a_row_that_may_still_be_followed_by_an_earlier_one_is_not_counted_yet() -> None:
    begin()
    make_attempt()
    readings._count(clock.now(), 0)
    assert MetricsReading.objects.get().totals == {}
    readings._count(clock.now() + counting.SETTLED_AFTER + timedelta(seconds=1), 0)
    assert sum(MetricsReading.objects.get().totals["webhooks_attempts"].values()) == 1


def test_a_crash_in_the_middle_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    begin()
    make_attempt()
    make_receipt()

    def fail(*_: Any) -> None:
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr(readings, "count_refusals", fail)
        with pytest.raises(RuntimeError):
            count_all()
    page = scrape()
    assert page.all("webhooks_attempts_total") == {("none", "succeeded", "first"): 1}
    assert page.get("webhooks_receipts_total", outcome="accepted") == 1


def test_long_after_the_last_one_a_reading_catches_up_slice_by_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin()
    marks = MetricsReading.objects.get().marks
    past = clock.now() - timedelta(hours=1)
    MetricsReading.objects.update(marks=marks | {counting.MARK: past.isoformat()}, taken_at=None)
    make_attempt()
    monkeypatch.setattr(readings, "CATCH_UP_SECONDS", 0)
    readings.current_reading()
    row = MetricsReading.objects.get()
    assert row.marks[counting.MARK] == (past + counting.SLICE).isoformat()
    monkeypatch.undo()
    assert attempts() == {("none", "succeeded", "first"): 1}


# --- against a plain recount ----------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("attempt"),
            st.sampled_from(["first", "retry"]),
            st.sampled_from(["", "dns", "status_5xx"]),
            st.floats(0, 100_000),
        ),
        st.just(("event",)),
        st.sampled_from([("receipt", "accepted"), ("receipt", "duplicate")]),
        st.just(("scrape",)),
        st.just(("prune",)),
    ),
    max_size=25,
)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_counters_are_those_of_a_plain_recount_and_never_go_down(steps: Any) -> None:
    with transaction.atomic():
        MetricsReading.objects.all().delete()
        for model in (Attempt, Receipt, Event):
            model._default_manager.all().delete()
        begin()
        delivery = make_delivery()
        source = make_source()
        expected: Counter[tuple[str, ...]] = Counter(
            {("webhooks_events_total", "published"): 1}  # the delivery's own
        )
        seconds, last = 0.0, {}
        number = 0
        for step in [*steps, ("scrape",)]:
            match step:
                case ("attempt", trigger, cause, value):
                    number += 1
                    outcome = "failed" if cause else "succeeded"
                    make_attempt(
                        delivery, number=number, trigger=trigger, cause=cause, outcome=outcome,
                        duration_ms=value,
                    )  # fmt: skip
                    expected["webhooks_attempts_total", cause or "none", outcome, trigger] += 1
                    seconds += value / 1000
                case ("event",):
                    make_event(source.account)
                    expected["webhooks_events_total", "published"] += 1
                case ("receipt", status):
                    make_receipt(source, status=status)
                    expected["webhooks_receipts_total", status] += 1
                case ("prune",):
                    scrape()
                    Attempt.objects.all().delete()
                    Receipt.objects.all().delete()
                case _:
                    page = scrape()
                    for name, rows in page.samples.items():
                        for labels, before in last.get(name, {}).items():
                            assert rows[labels] >= before
                    last = {
                        sample: dict(page.samples.get(sample, {}))
                        for metric in METRICS
                        if metric.type is not Type.GAUGE
                        for sample in metric.samples
                    }
        counted = {
            (name, *(value for _, value in labels)): number
            for name in ("webhooks_attempts_total", "webhooks_events_total",
                         "webhooks_receipts_total")
            for labels, number in page.samples.get(name, {}).items()
        }  # fmt: skip
        assert counted == dict(expected)
        total = sum(page.all("webhooks_attempt_seconds_sum").values())
        assert total == pytest.approx(seconds)
        transaction.set_rollback(True)


# --- others that write at the same moment ---------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_rows_of_a_transaction_that_is_still_open_are_counted_once_it_ends() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer at a time")
    begin()
    account = make_account()
    written, go_on = threading.Event(), threading.Event()

    def write() -> None:
        try:
            with transaction.atomic():
                make_event(account)
                written.set()
                go_on.wait(30)
        finally:
            connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert written.wait(30)
        make_event(account)
        # As late as you like: the mark does not pass what may still be committed.
        later = clock.now() + timedelta(minutes=10)
        for _ in range(5):
            readings._count(later, 0)
        assert MetricsReading.objects.get().totals.get("webhooks_events") is None
    finally:
        go_on.set()
        thread.join()
    assert scrape().get("webhooks_events_total", origin="published") == 2


@pytest.mark.django_db(transaction=True)
def test_several_who_count_at_once_count_each_row_once() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("the tests' SQLite lies in memory, where nobody waits for a lock")
    begin()
    account = make_account()
    for _ in range(20):
        make_event(account)
    later = clock.now() + timedelta(minutes=2)
    barrier = threading.Barrier(4)

    def count() -> None:
        try:
            barrier.wait(30)
            readings._count(later, 0)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scrape().get("webhooks_events_total", origin="published") == 20
