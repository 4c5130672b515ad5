"""Rollups are what counting the attempts by hand gives."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.models import Rollup
from analytics.services import rebuild_rollups
from analytics.tasks import roll_up
from outgoing.models import Attempt, Delivery
from tests.factories import make_attempt, make_delivery, make_subscription

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 14, 15, 0, tzinfo=UTC)
CAUSES = ["", "dns", "timeout_response", "status_5xx"]
FIELDS = (
    "account_id",
    "subscription_id",
    "minute",
    "cause",
    "attempts",
    "first_attempts",
    "duration_ms_sum",
    "duration_ms_max",
)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def rows() -> set[tuple[Any, ...]]:
    found = list(Rollup.objects.values_list(*FIELDS))
    assert len(found) == len(set(found))
    return set(found)


def counted(since: datetime, until: datetime) -> set[tuple[Any, ...]]:
    """The same by hand, one attempt after the other."""
    groups: dict[Any, list[Attempt]] = defaultdict(list)
    for attempt in Attempt.objects.select_related("delivery"):
        if since <= attempt.started_at < until:
            at = attempt.started_at.replace(second=0, microsecond=0)
            delivery = attempt.delivery
            groups[delivery.account_id, delivery.subscription_id, at, attempt.cause].append(attempt)
    return {
        (
            *key,
            len(group),
            sum(attempt.number == 1 for attempt in group),
            sum(attempt.duration_ms for attempt in group),
            max(attempt.duration_ms for attempt in group),
        )
        for key, group in groups.items()
    }


# Durations in quarters, whose sums are exact in whatever order.
ATTEMPTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # which delivery
        st.integers(-60_000, 360_000),  # milliseconds since the start
        st.sampled_from(CAUSES),
        st.integers(0, 40_000).map(lambda quarters: quarters / 4),
    ),
    max_size=25,
)


def test_is_what_counting_by_hand_gives_and_the_same_when_done_again() -> None:
    shared = make_subscription()
    deliveries = [
        make_delivery(subscription=shared),
        make_delivery(subscription=shared),
        make_delivery(),
    ]

    @settings(max_examples=25, deadline=None, database=None)
    @given(history=ATTEMPTS, late=ATTEMPTS, window=st.tuples(st.integers(0, 4), st.integers(0, 5)))
    def holds(history: list[Any], late: list[Any], window: tuple[int, int]) -> None:
        Rollup.objects.all().delete()
        Attempt.objects.all().delete()
        since, until = minute(window[0]), minute(window[0] + window[1])
        add(deliveries, history)
        assert rebuild_rollups(since=since, until=until) == len(counted(since, until))
        once = rows()
        assert once == counted(since, until)
        assert rebuild_rollups(since=since, until=until) == len(once)
        assert rows() == once
        add(deliveries, late)
        rebuild_rollups(since=since, until=until)
        assert rows() == counted(since, until)
        rebuild_rollups(since=minute(-1), until=minute(7))
        assert rows() == counted(minute(-1), minute(7))

    holds()


def add(deliveries: list[Delivery], attempts: list[Any]) -> None:
    numbers = [delivery.attempts.count() for delivery in deliveries]
    made = []
    for which, milliseconds, cause, duration in attempts:
        numbers[which] += 1
        made.append(
            Attempt(
                delivery=deliveries[which],
                number=numbers[which],
                trigger="first",
                outcome="failed" if cause else "succeeded",
                cause=cause,
                started_at=START + timedelta(milliseconds=milliseconds),
                queue_wait_ms=0,
                duration_ms=duration,
                request_bytes=0,
                response_bytes=0,
            )
        )
    Attempt.objects.bulk_create(made)


def test_counts_by_subscription_and_cause() -> None:
    delivery = make_delivery()
    for seconds, cause, duration in (
        (0, "status_5xx", 10.5),
        (20, "status_5xx", 30.25),
        (59.9, "", 5),
    ):
        make_attempt(
            delivery,
            started_at=START + timedelta(seconds=seconds),
            cause=cause,
            outcome="failed" if cause else "succeeded",
            duration_ms=duration,
        )
    assert rebuild_rollups(since=START, until=minute(1)) == 2
    key = (delivery.account_id, delivery.subscription_id, START)
    assert rows() == {
        (*key, "status_5xx", 2, 1, 40.75, 30.25),
        (*key, "", 1, 0, 5.0, 5.0),
    }


def test_replaces_what_was_counted_and_leaves_the_other_minutes_alone() -> None:
    subscription = make_subscription()
    for number in (-1, 0, 1, 2):
        Rollup.objects.create(
            account=subscription.account,
            subscription=subscription,
            minute=minute(number),
            attempts=99,
            first_attempts=99,
            duration_ms_sum=99,
            duration_ms_max=99,
        )
    make_attempt(make_delivery(subscription=subscription), started_at=minute(1), duration_ms=7)
    assert rebuild_rollups(since=START, until=minute(2)) == 1
    counts = dict(Rollup.objects.values_list("minute", "attempts"))
    assert counts == {minute(-1): 99, minute(1): 1, minute(2): 99}


def test_takes_the_same_number_of_queries_whatever_there_is(
    django_assert_max_num_queries: Any,
) -> None:
    counts = []
    for _ in range(2):
        for _ in range(3):
            make_attempt(started_at=START)
        with django_assert_max_num_queries(10) as captured:
            rebuild_rollups(since=START, until=minute(1))
        counts.append(len(captured))
    assert counts[0] == counts[1]
    assert Rollup.objects.count() == 6


# --- once a minute --------------------------------------------------------------------------------

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
THIS_MINUTE = NOW.replace(second=0)


def attempts_at(*moments: datetime) -> None:
    for moment in moments:
        make_attempt(started_at=moment)


def minutes() -> list[datetime]:
    return list(Rollup.objects.order_by("minute").values_list("minute", flat=True))


@time_machine.travel(NOW, tick=False)
def test_at_first_looks_back_an_hour_and_never_at_the_minute_under_way() -> None:
    moment = timedelta(microseconds=1)
    hour_ago = THIS_MINUTE - timedelta(hours=1)
    attempts_at(hour_ago - moment, hour_ago, THIS_MINUTE - moment, THIS_MINUTE, NOW)
    assert roll_up() == 2
    assert minutes() == [hour_ago, THIS_MINUTE - timedelta(minutes=1)]


def test_counts_again_what_late_attempts_may_have_changed() -> None:
    with time_machine.travel(NOW, tick=False) as traveller:
        attempts_at(THIS_MINUTE - timedelta(minutes=1))
        roll_up()
        last = THIS_MINUTE - timedelta(minutes=1)
        assert minutes() == [last]
        within, before = last - timedelta(minutes=5), last - timedelta(minutes=6)
        attempts_at(within, before, last)
        traveller.shift(60)
        assert roll_up() == 3
        assert minutes() == [within, last, last]


@time_machine.travel(NOW, tick=False)
def test_catches_up_after_a_standstill_of_whatever_length() -> None:
    long_ago = THIS_MINUTE - timedelta(days=3)
    attempts_at(long_ago)
    rebuild_rollups(since=long_ago, until=long_ago + timedelta(minutes=1))
    missed = long_ago + timedelta(hours=30)
    attempts_at(missed)
    assert roll_up() == 2
    assert minutes() == [long_ago, missed]


@time_machine.travel(NOW, tick=False)
def test_a_rollup_from_a_clock_that_ran_ahead_does_not_stop_the_counting() -> None:
    ahead = make_subscription()
    Rollup.objects.create(
        account=ahead.account,
        subscription=ahead,
        minute=THIS_MINUTE + timedelta(hours=2),
        attempts=1,
        first_attempts=1,
        duration_ms_sum=1,
        duration_ms_max=1,
    )
    attempts_at(THIS_MINUTE - timedelta(minutes=2))
    assert roll_up() == 1
    assert minutes() == [THIS_MINUTE - timedelta(minutes=2), THIS_MINUTE + timedelta(hours=2)]


@time_machine.travel(NOW, tick=False)
def test_writes_nothing_where_nothing_was_attempted() -> None:
    assert roll_up() == 0
    assert Rollup.objects.count() == 0
