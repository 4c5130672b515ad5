"""What is pruned was counted: later attempts and receipts of its minute are counted, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from analytics.counting import count_marked
from analytics.models import ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from incoming.models import Receipt, RefusalMinute
from incoming.retention import Pruned, count_prunable, prune_receipts
from outgoing.dead_letters import prune_dead_letters
from outgoing.models import Attempt, Delivery, Event
from outgoing.retention import PrunedEvents, count_prunable_events, prune_events
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
from webhooks_project.uncounted import Kind, counted_before, mark_uncounted

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def attempts_of(grain: Grain) -> int:
    rows = Rollup.objects.filter(scope=Scope.ACCOUNT, grain=grain)
    return sum(rows.values_list("attempts", flat=True))


def receipts_of(grain: Grain) -> int:
    rows = ReceiptRollup.objects.filter(scope=Scope.ACCOUNT, grain=grain)
    return sum(rows.values_list("receipts", flat=True))


def prune(moment: datetime) -> PrunedEvents:
    with time_machine.travel(moment, tick=False):
        counted = count_prunable_events()
        done = prune_events(seconds=None)
    assert counted == done
    return done


@pytest.mark.parametrize("is_counted_first", [True, False])
def test_an_old_event_that_was_just_redelivered_is_kept_until_its_minute_is_over(
    is_counted_first: bool,
) -> None:
    account = make_account(event_days=1)
    subscription = make_subscription(account)
    event = make_event(account, created_at=NOON - 2 * DAY)
    delivery = make_delivery(event, subscription, status="delivered")
    make_attempt(delivery, started_at=NOON + 10 * SECOND)
    if is_counted_first:
        count_marked()
    assert prune(NOON + 40 * SECOND) == PrunedEvents()
    later = make_delivery(make_event(account), subscription, status="delivered")
    make_attempt(later, started_at=NOON + 50 * SECOND)
    count_marked()
    assert [attempts_of(grain) for grain in Grain] == [2, 2, 2, 2]
    assert not Uncounted.objects.exists()
    assert prune(NOON + 2 * HOUR) == PrunedEvents(events=1)
    count_marked()
    assert [attempts_of(grain) for grain in Grain] == [2, 2, 2, 2]


def test_what_nobody_counted_yet_is_kept_and_after_seven_days_no_longer() -> None:
    account = make_account(event_days=1)
    event = make_event(account, created_at=NOON - 2 * DAY)
    make_attempt(make_delivery(event, status="delivered"), started_at=NOON)
    assert prune(NOON + 6 * DAY) == PrunedEvents()
    assert Event.objects.get() == event
    assert prune(NOON + 8 * DAY) == PrunedEvents(events=1)


def test_a_dead_letter_keeps_its_attempts_until_they_are_counted() -> None:
    delivery = make_delivery(
        make_event(account=make_account(dead_letter_days=1)), status="exhausted", exhausted_at=NOON
    )
    make_attempt(delivery, started_at=NOON)
    with time_machine.travel(NOON + 2 * DAY, tick=False):
        assert prune_dead_letters() == 0
        assert (Attempt.objects.count(), Delivery.objects.get().status) == (1, "exhausted")
        count_marked()
        assert prune_dead_letters() == 1
    assert Attempt.objects.count() == 0
    assert attempts_of(Grain.MONTH) == 1


def test_receipts_and_refusals_of_a_minute_that_is_not_counted_are_kept() -> None:
    source = make_source(make_account(receipt_days=1))
    make_receipt(source, status="processed", received_at=NOON, next_attempt_at=None)
    RefusalMinute.objects.create(
        account=source.account, source=source, minute=NOON, cause="signature_mismatch", count=3
    )
    with time_machine.travel(NOON + 2 * DAY, tick=False):
        assert count_prunable() == prune_receipts() == Pruned()
        assert (Receipt.objects.count(), RefusalMinute.objects.count()) == (1, 1)
        count_marked()
        assert receipts_of(Grain.MONTH) == 4
        assert count_prunable() == prune_receipts() == Pruned(receipts=1)
    assert (Receipt.objects.count(), RefusalMinute.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        ([], NOON - HOUR),
        ([NOON], NOON - HOUR),
        ([NOON - 2 * HOUR, NOON - 3 * HOUR], NOON - 3 * HOUR),
        ([NOON - 8 * DAY, NOON - 2 * HOUR], NOON - 2 * HOUR),
        ([NOON - 8 * DAY], NOON - HOUR),
    ],
)
def test_all_is_counted_an_hour_ago_or_before_the_oldest_mark(
    marks: list[datetime],
    expected: datetime,
    django_assert_num_queries: Any,
) -> None:
    mark_uncounted(Kind.ATTEMPT, marks)
    mark_uncounted(Kind.RECEIPT, [NOON - 5 * DAY])
    with django_assert_num_queries(1):
        assert counted_before(Kind.ATTEMPT, NOON + 30 * SECOND) == expected
