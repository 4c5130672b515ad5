"""Rollups are what counting the attempts and receipts one by one gives, in whatever order and
however often they are counted."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
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
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import Kind, mark_uncounted, thin_out

pytestmark = pytest.mark.django_db

START = datetime(
    2026, 3, 31, 22, 58, tzinfo=UTC
)  # two minutes before an hour, an hour before a month
CAUSES = ["", "dns", "timeout_response", "status_5xx"]
CODES = {"": 204, "status_5xx": 503}
FIELDS = (
    "scope", "grain", "at", "account_id", "subscription_id", "event_type", "cause", "status_class",
    "attempts", "first_attempts", "retries", "request_bytes", "response_bytes", "total_us_sum",
    "total_us_max", "queue_wait", "response", "total",
)  # fmt: skip
# Which of account, subscription and type each scope has.
TELLS = {
    Scope.HUB: (False, False, False),
    Scope.ACCOUNT: (True, False, False),
    Scope.EVENT_TYPE: (True, False, True),
    Scope.SUBSCRIPTION: (True, True, False),
    Scope.FULL: (True, True, True),
}

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
        for scope, (by_account, by_subscription, by_type) in TELLS.items():
            for grain in Grain:
                if grain is Grain.MINUTE and scope in (Scope.EVENT_TYPE, Scope.SUBSCRIPTION):
                    continue
                groups[
                    scope, grain, start_of(attempt.started_at, grain),
                    delivery.account_id if by_account else None,
                    delivery.subscription_id if by_subscription else None,
                    delivery.event.type if by_type else "",
                    attempt.cause, f"{code // 100}xx" if code else "",
                ].append(attempt)  # fmt: skip
    return {
        (
            *key,
            len(group),
            sum(attempt.number == 1 for attempt in group),
            sum(attempt.trigger == "retry" for attempt in group),
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
    other = make_event(shared.account, type="invoice.void")
    return [
        make_delivery(subscription=shared),
        make_delivery(subscription=shared),
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
