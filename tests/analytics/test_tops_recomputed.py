"""Lists of what stands out are what attempts, calls and events themselves say."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analytics.query import Measure
from analytics.tops import MIN_ATTEMPTS, Top, top
from outgoing.models import Event
from subscriptions.models import EventType, Subscription
from tests.analytics.grouped import quickly, within
from tests.analytics.recomputing import (
    SPAN,
    START,
    calls,
    check_values,
    figures_of_attempts,
    figures_of_calls,
    forget,
    histories,
    make_calls,
    make_deliveries,
    make_history,
    make_sources,
    percentile,
)
from tests.factories import make_event, make_subscription

pytestmark = pytest.mark.django_db

M = Measure
MOMENTS = st.integers(0, SPAN)
# Half days, so that one thing often happens just when a period begins or ends, or on its last day.
HALF_DAYS = st.integers(0, 10).map(lambda number: number * 12 * 60)
PERIOD = {"since": MOMENTS, "length": st.integers(1, SPAN), "limit": st.integers(1, 5)}
EARLY = st.integers(0, 2).map(lambda number: number * 12 * 60)
HALVES = {
    "since": HALF_DAYS, "length": st.integers(1, 6).map(lambda number: number * 12 * 60),
    "limit": st.integers(1, 5),
}  # fmt: skip
QUICKLY = quickly(max_examples=40)


def moments(since: int, length: int) -> dict[str, datetime]:
    start = START + timedelta(minutes=since)
    return {"since": start, "until": start + timedelta(minutes=length)}


def test_what_fails_most() -> None:
    deliveries = make_deliveries()
    accounts = st.sampled_from([None, [deliveries[0].account_id], [deliveries[3].account_id]])

    @QUICKLY
    @given(history=histories(max_size=40), accounts=accounts, **PERIOD)
    def holds(history: Any, accounts: Any, since: int, length: int, limit: int) -> None:
        forget()
        attempts = make_history(deliveries, history)
        period = moments(since, length)
        expected = {
            key: figures_of_attempts(group)
            for key, group in within(attempts, **period, account_ids=accounts).items()
        }
        failing = sorted(
            (key for key, values in expected.items() if values[M.FAILED]),
            key=lambda key: (-expected[key][M.FAILED], str(key)),
        )
        found = top(Top.FAILING_ENDPOINTS, account_ids=accounts, limit=limit, **period)
        assert [item.id for item in found] == failing[:limit]
        for item in found:
            assert set(item.values) == {M.FAILED, M.ATTEMPTS, M.SUCCESS_RATE}
            check_values(item.values, expected[item.id])

    holds()


def test_what_is_slowest() -> None:
    deliveries = make_deliveries()
    accounts = st.sampled_from([None, [deliveries[0].account_id]])

    @QUICKLY
    @given(
        # By fives: some have just enough of them to be told of, and others not.
        history=st.lists(
            st.tuples(
                st.sampled_from([0, 0, 2, 3]),
                st.integers(0, SPAN * 60),
                st.lists(st.floats(0.01, 90_000), min_size=5, max_size=5),
            ),
            min_size=2,
            max_size=8,
        ),
        accounts=accounts,
        **PERIOD,
    )
    def holds(history: Any, accounts: Any, since: int, length: int, limit: int) -> None:
        forget()
        attempts = make_history(
            deliveries,
            [(which, seconds, "", ms) for which, seconds, times in history for ms in times],
        )
        period = moments(since, length)
        groups = {
            key: [attempt.duration_ms for attempt in group]
            for key, group in within(attempts, **period, account_ids=accounts).items()
            if len(group) >= MIN_ATTEMPTS
        }
        found = top(Top.SLOWEST_ENDPOINTS, account_ids=accounts, limit=limit, **period)
        assert len(found) == min(limit, len(groups))
        for item in found:
            times = groups[item.id]
            assert item.values.pop(M.ATTEMPTS) == len(times)
            assert item.values == {
                measure: pytest.approx(percentile(times, percent), rel=0.01)
                for measure, percent in ((M.TOTAL_P50_MS, 50), (M.TOTAL_P95_MS, 95),
                                         (M.TOTAL_P99_MS, 99))
            }  # fmt: skip
        # The order, as far as two that are within 1 % of the truth can be told apart.
        p95 = {key: percentile(times, 95) or 0 for key, times in groups.items()}
        shown = [p95.pop(item.id) for item in found]
        for slower, quicker in pairwise([*shown, max(p95.values(), default=0)]):
            assert slower >= quicker * 0.98

    holds()


def test_what_is_noisiest() -> None:
    sources = make_sources()
    accounts = st.sampled_from([None, [sources[0].account_id]])

    @QUICKLY
    @given(history=calls(), accounts=accounts, **PERIOD)
    def holds(history: Any, accounts: Any, since: int, length: int, limit: int) -> None:
        forget()
        period = moments(since, length)
        groups = within(make_calls(sources, history), **period, account_ids=accounts)
        noisiest = sorted(groups, key=lambda key: (-len(groups[key]), str(key)))
        found = top(Top.NOISIEST_SOURCES, account_ids=accounts, limit=limit, **period)
        assert [item.id for item in found] == noisiest[:limit]
        for item in found:
            assert set(item.values) == {M.RECEIPTS, M.REFUSED, M.DUPLICATES, M.RECEIPT_BYTES}
            check_values(item.values, figures_of_calls(groups[item.id]))

    holds()


def test_which_types_are_unused() -> None:
    account, other = (make_subscription().account for _ in range(2))
    names = ("a.made", "b.made", "c.made")

    @QUICKLY
    @given(
        types=st.dictionaries(
            st.tuples(st.booleans(), st.sampled_from(names)),
            st.tuples(HALF_DAYS, st.booleans()),
        ),
        events=st.lists(st.tuples(st.booleans(), st.sampled_from(names), HALF_DAYS), max_size=8),
        accounts=st.sampled_from([None, [account.pk]]),
        **HALVES,
    )
    def holds(types: Any, events: Any, accounts: Any, since: int, length: int, limit: int) -> None:
        Event.objects.all().delete()
        EventType.objects.all().delete()
        for (is_other, name), (minute, is_archived) in types.items():
            moment = START + timedelta(minutes=minute)
            made = EventType.objects.create(
                account=other if is_other else account, name=name,
                archived_at=moment if is_archived else None,
            )  # fmt: skip
            EventType.objects.filter(pk=made.pk).update(created_at=moment)
        for is_other, name, minute in events:
            moment = START + timedelta(minutes=minute)
            make_event(other if is_other else account, type=name, created_at=moment)
        used = {(is_other, name) for is_other, name, minute in events
                if since <= minute < since + length}  # fmt: skip
        unused = {
            ((other if is_other else account).pk, name): START + timedelta(minutes=minute)
            for (is_other, name), (minute, is_archived) in types.items()
            if (is_other, name) not in used and minute < since and not is_archived
            and not (accounts and is_other)
        }  # fmt: skip
        found = top(Top.UNUSED_TYPES, account_ids=accounts, limit=limit, **moments(since, length))
        told = {(item.account_id, item.name): item.created_at for item in found}
        assert len(told) == len(found) == min(limit, len(unused))
        assert told.items() <= unused.items()
        assert list(told.values()) == sorted(unused.values())[:limit]  # the oldest first

    holds()


def test_which_subscriptions_are_unused() -> None:
    deliveries = make_deliveries()
    of_events = [deliveries[at].subscription for at in (0, 2, 3)]
    without = [make_subscription(of_events[0].account), make_subscription()]
    subscriptions = [*of_events, *without]

    @QUICKLY
    @example(  # used on the period's last day, and after its end
        history=[(0, 42 * 3600, "", 5.0)], made=[(0, "active")] * 5, accounts=None,
        since=24 * 60, length=12 * 60, limit=5,
    )  # fmt: skip
    @given(
        history=st.lists(
            st.tuples(
                st.sampled_from([0, 2, 3]),
                HALF_DAYS.map(lambda minute: minute * 60 + 3600),
                st.just(""),
                st.just(5.0),
            ),
            max_size=6,
        ),
        made=st.lists(
            st.tuples(EARLY, st.sampled_from(["active", "active", "active", "paused"])),
            min_size=5,
            max_size=5,
        ),
        accounts=st.sampled_from([None, [of_events[0].account_id]]),
        **HALVES,
    )
    def holds(history: Any, made: Any, accounts: Any, since: int, length: int, limit: int) -> None:
        forget()
        attempts = make_history(deliveries, history)
        for subscription, (minute, status) in zip(subscriptions, made, strict=True):
            Subscription.objects.filter(pk=subscription.pk).update(
                created_at=START + timedelta(minutes=minute), status=status
            )
        period = moments(since, length)
        used = within(attempts, **period, account_ids=accounts)
        unused = sorted(
            (START + timedelta(minutes=minute), subscription.pk)
            for subscription, (minute, status) in zip(subscriptions, made, strict=True)
            if minute < since and status == "active" and subscription.pk not in used
            and (accounts is None or subscription.account_id in accounts)
        )  # fmt: skip
        found = top(Top.UNUSED_SUBSCRIPTIONS, account_ids=accounts, limit=limit, **period)
        assert [(item.created_at, item.id) for item in found] == unused[:limit]

    holds()
