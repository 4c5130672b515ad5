"""Claims: a lease with a token (promise 5)."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from outgoing.cancelled import cancel_archived
from outgoing.models import Delivery
from outgoing.querysets import LEASE_SECONDS, Claim
from subscriptions.models import Subscription
from tests.factories import make_delivery, make_event, make_subscription
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
FIRST, AGAIN = Delivery.Lane.FIRST, Delivery.Lane.AGAIN
LEASE = timedelta(seconds=LEASE_SECONDS)
STEP = timedelta(microseconds=1)


def claim(
    lane: int = FIRST, *, limit: int = 10, now: datetime = NOW, **options: Any
) -> list[Claim]:
    return Delivery.objects.claim(now=now, lane=lane, limit=limit, **options)


def ids(claims: list[Claim]) -> list[Any]:
    return [item.delivery_id for item in claims]


def test_a_claim_says_what_is_to_be_done() -> None:
    row = make_delivery(next_attempt_at=NOW, attempt_count=3, attempts_before=1, trigger="replay")
    (item,) = claim()
    assert item == Claim(
        delivery_id=row.pk,
        event_id=row.event_id,
        subscription_id=row.subscription_id,
        trigger="replay",
        attempt_count=3,
        attempts_before=1,
        replay_id=None,
        due_at=NOW,
        order_key=None,
        created_at=row.created_at,
        asked_at=None,
        token=item.token,
    )
    row.refresh_from_db()
    assert (row.status, row.lane) == ("delivering", None)
    assert (row.lease_token, row.leased_until) == (item.token, NOW + LEASE)
    assert row.attempt_count == 3


def test_what_is_claimed_is_not_claimed_again() -> None:
    make_delivery(next_attempt_at=NOW)
    assert len(claim()) == 1
    assert claim() == []
    assert Delivery.objects.lanes_due(NOW) == []


def test_claims_what_is_due_and_the_longest_waiting_first() -> None:
    late = make_delivery(next_attempt_at=NOW)
    early = make_delivery(next_attempt_at=NOW - timedelta(hours=1))
    make_delivery(next_attempt_at=NOW + STEP)
    assert ids(claim(limit=1)) == [early.pk]
    assert ids(claim()) == [late.pk]
    assert claim() == []


def test_those_of_one_claim_come_the_longest_waiting_first() -> None:
    subscription = make_subscription()
    hours = [5, 1, 9, 3, 8, 2, 7, 4, 6]
    for age in hours:
        make_delivery(
            make_event(subscription.account),
            subscription,
            next_attempt_at=NOW - timedelta(hours=age),
        )
    assert [NOW - item.due_at for item in claim()] == [
        timedelta(hours=age) for age in sorted(hours, reverse=True)
    ]


def test_all_of_one_claim_share_a_token() -> None:
    for _ in range(3):
        make_delivery(next_attempt_at=NOW)
    first, second = claim(limit=2), claim()
    assert len({item.token for item in first}) == 1
    assert {item.token for item in first} != {item.token for item in second}


def test_the_lanes_are_claimed_apart() -> None:
    first = make_delivery(next_attempt_at=NOW)
    again = make_delivery(next_attempt_at=NOW, lane=AGAIN)
    assert Delivery.objects.lanes_due(NOW) == [FIRST, AGAIN]
    assert ids(claim(AGAIN)) == [again.pk]
    assert Delivery.objects.lanes_due(NOW) == [FIRST]
    assert ids(claim(FIRST)) == [first.pk]
    assert Delivery.objects.lanes_due(NOW) == []


@pytest.mark.parametrize("status", ["delivered", "exhausted", "held", "cancelled", "delivering"])
def test_what_stands_in_no_line_is_not_claimed(status: str) -> None:
    make_delivery(status=status, next_attempt_at=NOW)
    make_delivery(lane=None, next_attempt_at=NOW)  # it waits for its Retry
    assert claim(FIRST) == claim(AGAIN) == []


def test_passes_over_the_subscriptions_that_have_enough() -> None:
    busy, idle = make_delivery(next_attempt_at=NOW), make_delivery(next_attempt_at=NOW)
    assert ids(claim(except_subscriptions=[busy.subscription_id])) == [idle.pk]
    assert ids(claim()) == [busy.pk]


# --- fencing --------------------------------------------------------------------------------------


def test_a_worker_that_comes_back_late_changes_nothing() -> None:
    row = make_delivery(next_attempt_at=NOW)
    (frozen,) = claim()
    assert Delivery.objects.release_expired(NOW + LEASE + STEP) == 1
    (second,) = claim(now=NOW + LEASE + STEP)
    assert second.token != frozen.token
    done = Delivery.objects.all().finish([row.pk], frozen.token, {"status": "delivered"})
    assert done == set()
    row.refresh_from_db()
    assert (row.status, row.lease_token) == ("delivering", second.token)
    assert Delivery.objects.renew_leases([frozen.token], NOW + LEASE) == 0
    assert Delivery.objects.release([row.pk], frozen.token, FIRST) == 0
    row.refresh_from_db()
    assert (row.status, row.lease_token) == ("delivering", second.token)
    assert row.leased_until == NOW + LEASE + STEP + LEASE


def test_ends_only_the_claims_that_are_still_its_own() -> None:
    for _ in range(3):
        make_delivery(next_attempt_at=NOW)
    claims = claim()
    lost, *kept = ids(claims)
    Delivery.objects.filter(pk=lost).update(lease_token=new_id())
    done = Delivery.objects.all().finish(
        ids(claims), claims[0].token, {"status": "delivered", "delivered_at": NOW}
    )
    assert done == set(kept)
    assert set(Delivery.objects.filter(status="delivered").values_list("pk", flat=True)) == done
    assert Delivery.objects.filter(lease_token=None, leased_until=None).count() == 2


def test_a_living_worker_keeps_its_claims() -> None:
    row = make_delivery(next_attempt_at=NOW)
    (item,) = claim()
    later = NOW + LEASE - STEP
    assert Delivery.objects.renew_leases([item.token], later) == 1
    assert Delivery.objects.release_expired(NOW + LEASE + STEP) == 0
    assert Delivery.objects.release_expired(later + LEASE + STEP) == 1
    row.refresh_from_db()
    assert (row.status, row.lane, row.lease_token, row.leased_until) == ("pending", 0, None, None)


@pytest.mark.parametrize(
    ("trigger", "lane"),
    [
        ("first", FIRST),
        ("retry", AGAIN),
        ("redeliver", AGAIN),
        ("replay", AGAIN),
        ("resume", AGAIN),
    ],
)
def test_a_lost_claim_stands_where_it_stood_and_counts_no_attempt(trigger: str, lane: int) -> None:
    row = make_delivery(next_attempt_at=NOW, lane=lane, trigger=trigger, attempt_count=2)
    claim(lane)
    Delivery.objects.release_expired(NOW + LEASE + STEP)
    row.refresh_from_db()
    assert (row.status, row.lane, row.trigger) == ("pending", lane, trigger)
    assert (row.attempt_count, row.next_attempt_at) == (2, NOW)
    assert row.attempts.count() == 0


def test_gives_back_what_it_did_not_start() -> None:
    row = make_delivery(next_attempt_at=NOW, lane=AGAIN, trigger="first")
    (item,) = claim(AGAIN)
    assert Delivery.objects.release([row.pk], item.token, AGAIN) == 1
    row.refresh_from_db()
    assert (row.status, row.lane, row.lease_token) == ("pending", AGAIN, None)
    assert ids(claim(AGAIN)) == [row.pk]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_never_take_the_same() -> None:
    rows = [make_delivery(next_attempt_at=NOW) for _ in range(4)]
    taken: list[Claim] = []
    told_to_wait: list[str] = []

    def other() -> None:
        try:
            taken.extend(claim())
        except OperationalError as error:
            told_to_wait.append(str(error))
        finally:
            connection.close()

    def claim_elsewhere() -> None:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()

    with transaction.atomic():
        mine = claim(limit=2)
        claim_elsewhere()
    if connection.vendor == "postgresql":
        assert told_to_wait == []  # the rows under way are skipped
    else:
        # SQLite has one writer at a time.
        assert (taken, [text for text in told_to_wait if "locked" not in text]) == ([], [])
        claim_elsewhere()
    assert len(mine) == len(taken) == 2
    assert sorted(ids(mine + taken)) == sorted(row.pk for row in rows)


@pytest.mark.django_db(transaction=True)
def test_what_another_holds_is_not_waited_for_where_a_subscription_gets_limits() -> None:
    """Two pumps that put the same into its flow would lock one another's rows."""
    if connection.vendor != "postgresql":
        pytest.skip("one writer at a time")
    subscription = make_subscription(rate_limit=1, rate_period="hour")
    rows = [
        make_delivery(make_event(subscription.account), subscription, next_attempt_at=NOW)
        for _ in range(3)
    ]

    def enter() -> None:
        Delivery.objects.enter_flows(FIRST, {subscription.pk}, among=10)
        connection.close()

    with transaction.atomic():
        Delivery.objects.select_for_update().get(pk=rows[1].pk)
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    lanes = dict(Delivery.objects.values_list("pk", "lane"))
    assert [lanes[row.pk] for row in rows] == [Delivery.Lane.LIMITED, FIRST, Delivery.Lane.LIMITED]


def test_what_is_not_due_yet_goes_over_too_where_a_subscription_gets_limits() -> None:
    """Else each would be claimed at its time, and given back, one by one."""
    subscription = make_subscription(rate_limit=1, rate_period="hour")
    other = make_subscription(subscription.account)
    rows = [
        make_delivery(make_event(subscription.account), one, next_attempt_at=NOW + ahead)
        for one in (subscription, other)
        for ahead in (timedelta(0), timedelta(hours=1), timedelta(days=30))
    ]
    Delivery.objects.enter_flows(FIRST, {subscription.pk}, among=10)
    lanes = dict(Delivery.objects.values_list("pk", "lane"))
    assert [lanes[row.pk] for row in rows] == [Delivery.Lane.LIMITED] * 3 + [FIRST] * 3


# --- held -----------------------------------------------------------------------------------------


def test_what_was_held_goes_out_when_its_subscription_is_active() -> None:
    account = make_subscription().account
    active = make_subscription(account)
    paused = make_subscription(account, status=Subscription.Status.PAUSED)
    back = make_delivery(
        make_event(account), active, status="held", attempt_count=2, next_attempt_at=NOW - LEASE
    )
    stays = make_delivery(make_event(account), paused, status="held")
    assert Delivery.objects.restore_held(NOW, 10) == 1
    back.refresh_from_db()
    stays.refresh_from_db()
    assert (back.status, back.lane, back.trigger) == ("pending", AGAIN, "resume")
    assert (back.attempt_count, back.next_attempt_at) == (2, NOW - LEASE)
    assert (stays.status, stays.lane) == ("held", None)


def test_what_was_held_for_a_later_moment_goes_out_now() -> None:
    make_delivery(status="held", attempt_count=1, next_attempt_at=NOW + timedelta(hours=5))
    Delivery.objects.restore_held(NOW, 10)
    assert Delivery.objects.get().next_attempt_at == NOW


def test_what_was_held_and_never_attempted_still_waits_for_its_time() -> None:
    make_delivery(status="held", next_attempt_at=NOW + timedelta(hours=5))
    Delivery.objects.restore_held(NOW, 10)
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.next_attempt_at) == ("pending", NOW + timedelta(hours=5))


def test_the_oldest_goes_out_first_and_no_more_at_once_than_asked() -> None:
    subscription = make_subscription()
    rows = [
        make_delivery(
            make_event(subscription.account),
            subscription,
            status="held",
            next_attempt_at=NOW - timedelta(hours=age),
        )
        for age in (1, 3, 2)
    ]
    assert Delivery.objects.restore_held(NOW, 2) == 2
    assert Delivery.objects.get(status="held") == rows[0]
    assert ids(claim(AGAIN, limit=1)) == [rows[1].pk]


def test_what_is_held_for_an_archived_subscription_is_cancelled() -> None:
    gone = make_delivery(
        subscription=make_subscription(status=Subscription.Status.ARCHIVED), status="held"
    )
    for status in (Subscription.Status.PAUSED, Subscription.Status.DISABLED):
        make_delivery(subscription=make_subscription(status=status), status="held")
    assert Delivery.objects.restore_held(NOW, 10) == 0
    assert cancel_archived(10) == 1
    assert Delivery.objects.get(status="cancelled") == gone
    assert Delivery.objects.filter(status="held").count() == 2


# --- cost -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 50])
def test_a_claim_is_one_statement(count: int) -> None:
    subscription = make_subscription()
    for _ in range(count):
        make_delivery(make_event(subscription.account), subscription, next_attempt_at=NOW)
    with CaptureQueriesContext(connection) as queries:
        assert len(claim(limit=100)) == count
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 1
    assert ("SKIP LOCKED" in statements[0]) == (connection.vendor == "postgresql")


def test_a_look_leaves_out_those_that_are_full_and_what_is_before_its_horizon() -> None:
    early = make_delivery(next_attempt_at=NOW - timedelta(hours=1))
    late = make_delivery(next_attempt_at=NOW, lane=AGAIN)
    full = [early.subscription_id]
    look = Delivery.objects.lanes_due
    assert look(NOW, except_subscriptions=full) == [AGAIN]
    assert look(NOW, except_subscriptions=[*full, late.subscription_id]) == []
    assert look(NOW, since={FIRST: NOW - timedelta(minutes=59)}) == [AGAIN]
    assert look(NOW, since={FIRST: NOW - timedelta(hours=1), AGAIN: NOW + STEP}) == [FIRST]
    assert look(NOW, except_subscriptions=full, since={FIRST: NOW - timedelta(hours=2)}) == [AGAIN]


def test_a_claim_is_one_statement_whatever_it_leaves_out() -> None:
    full = [make_delivery(next_attempt_at=NOW).subscription_id for _ in range(3)]
    oldest = make_delivery(next_attempt_at=NOW - timedelta(hours=3))
    waiting = make_delivery(next_attempt_at=NOW - timedelta(hours=2))
    for left_out, since, found in (
        ((), NOW - timedelta(hours=3), oldest),
        (full[:1], NOW - timedelta(hours=3), waiting),
        (full, NOW - timedelta(hours=3), None),
    ):
        with CaptureQueriesContext(connection) as queries:
            claims = claim(limit=1, except_subscriptions=left_out, since=since)
        assert ids(claims) == ([found.pk] if found else [])
        assert len(queries) == 1
