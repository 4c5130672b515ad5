"""Endpoints that fail for days: what is noted, who is told, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from monitoring.models import Notification
from outgoing.failing import Seen, note_attempts, watch_failing
from outgoing.models import Event
from subscriptions.models import Subscription
from subscriptions.services import set_status
from tests.factories import make_account_with_operator, make_subscription, make_user
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Status = Subscription.Status


@pytest.fixture
def account() -> Account:
    """One whose operator has an address, and that hears of its subscriptions."""
    account = make_account_with_operator()
    make_user(account, Role.DEVELOPER, email="developer@example.com")
    make_subscription(account, name="Ops", event_types=("subscription.*",))
    return account


@pytest.fixture
def row(account: Account) -> Subscription:
    return make_subscription(account, name="Shop", event_types=("order.*",))


@pytest.fixture
def at() -> Any:
    """The clock: `at(hours)` since the start."""
    with time_machine.travel(START, tick=False) as traveller:

        def move(hours: float) -> datetime:
            moment = START + hours * HOUR
            traveller.move_to(moment)
            return moment

        yield move


Clock = Callable[[float], datetime]


def attempt(row: Subscription, moment: datetime, *, succeeded: bool = False) -> None:
    seen = Seen()
    seen.add(succeeded=succeeded, at=moment)
    note_attempts({row.pk: seen})


def published() -> list[tuple[str, Any]]:
    events = Event.objects.order_by("created_at", "pk")
    return [(event.type, event.payload.get("percent")) for event in events]


def told() -> list[str]:
    rows = Notification.objects.order_by("created_at", "pk")
    assert {item.recipient for item in rows} <= {"operator@example.com"}
    return [item.title for item in rows]


def facts(row: Subscription) -> tuple[Any, ...]:
    row.refresh_from_db()
    return (row.failing_since, row.last_failed_at, row.failing_noticed_percent)


# --- what is noted --------------------------------------------------------------------------------


def test_the_first_failure_begins_it_and_a_success_ends_it(row: Subscription, at: Clock) -> None:
    first = at(0)
    attempt(row, first)
    attempt(row, at(0.5))
    assert facts(row) == (first, first, None)
    later = at(1)
    attempt(row, later)
    assert facts(row) == (first, later, None)
    attempt(row, at(2), succeeded=True)
    assert facts(row) == (None, None, None)
    assert (published(), told()) == ([], [])


def test_a_batch_with_both_is_a_success(row: Subscription, at: Clock) -> None:
    seen = Seen()
    seen.add(succeeded=True, at=at(0))
    seen.add(succeeded=False, at=at(1))
    note_attempts({row.pk: seen})
    assert facts(row) == (None, None, None)


def test_the_first_and_the_last_failure_of_a_batch_count(row: Subscription, at: Clock) -> None:
    seen = Seen()
    for hours in (2, 1, 3):
        seen.add(succeeded=False, at=at(hours))
    note_attempts({row.pk: seen})
    assert facts(row) == (START + HOUR, START + 3 * HOUR, None)


def test_a_healthy_endpoint_costs_one_read_for_a_batch_and_no_write(
    account: Account, at: Clock
) -> None:
    seen = {}
    for _ in range(5):
        seen[make_subscription(account).pk] = one = Seen()
        one.add(succeeded=True, at=START)
    with CaptureQueriesContext(connection) as queries:
        note_attempts(seen)
    assert [query["sql"].split()[0] for query in queries] == ["SELECT"]


def test_a_failing_endpoint_is_written_once_an_hour(row: Subscription, at: Clock) -> None:
    with CaptureQueriesContext(connection) as queries:
        for minutes in range(0, 121, 10):
            attempt(row, at(minutes / 60))
    assert len([q for q in queries if q["sql"].startswith("UPDATE")]) == 3


# --- five days ------------------------------------------------------------------------------------


def fail_for(row: Subscription, at: Clock, hours: range) -> None:
    """An attempt that fails and a look each hour."""
    for hour in hours:
        attempt(row, at(hour))
        watch_failing()


def test_after_three_warnings_it_is_disabled(row: Subscription, at: Clock) -> None:
    fail_for(row, at, range(60))
    assert (published(), told()) == ([], [])
    fail_for(row, at, range(60, 84))
    assert published() == [("subscription.failing", 50)]
    fail_for(row, at, range(84, 108))
    assert published() == [("subscription.failing", 50), ("subscription.failing", 70)]
    fail_for(row, at, range(108, 120))
    assert [percent for _, percent in published()] == [50, 70, 90]
    row.refresh_from_db()
    assert row.status == Status.ACTIVE
    fail_for(row, at, range(120, 130))
    row.refresh_from_db()
    assert (row.status, row.disabled_at) == (Status.DISABLED, START + 120 * HOUR)
    assert row.status_reason == "every attempt has failed since 2026-03-01 00:00 UTC"
    assert published()[3:] == [("subscription.disabled", None)]
    assert told() == [*["Shop is failing"] * 3, "Shop is disabled"]


def test_a_warning_says_what_there_is_to_know(row: Subscription, at: Clock) -> None:
    fail_for(row, at, range(61))
    event = Event.objects.get()
    assert event.payload == {
        "subscription": str(row.pk),
        "name": "Shop",
        "status": "active",
        "status_reason": "",
        "failing_since": "2026-03-01T00:00:00+00:00",
        "percent": 50,
        "will_be_disabled_at": "2026-03-06T00:00:00+00:00",
    }
    assert "disabled about 2026-03-06 00:00 UTC" in Notification.objects.get().text


def test_each_is_announced_once_however_often_one_looks(row: Subscription, at: Clock) -> None:
    fail_for(row, at, range(61))
    assert [watch_failing() for _ in range(3)] == [0, 0, 0]
    assert published() == [("subscription.failing", 50)]


def test_a_success_after_a_warning_is_a_recovery(row: Subscription, at: Clock) -> None:
    fail_for(row, at, range(61))
    attempt(row, at(61), succeeded=True)
    attempt(row, at(62), succeeded=True)
    assert facts(row) == (None, None, None)
    assert [name for name, _ in published()] == ["subscription.failing", "subscription.recovered"]
    assert told() == ["Shop is failing", "Shop works again"]
    event = Event.objects.get(type="subscription.recovered")
    assert event.payload["failing_since"] == "2026-03-01T00:00:00+00:00"


def test_one_that_comes_and_goes_makes_no_noise(row: Subscription, at: Clock) -> None:
    for hour in range(0, 400, 2):
        attempt(row, at(hour))
        watch_failing()
        attempt(row, at(hour + 1), succeeded=True)
        watch_failing()
    assert (published(), told()) == ([], [])


def test_where_nothing_was_attempted_nobody_is_blamed(row: Subscription, at: Clock) -> None:
    """Nothing to deliver, or a hub that stood still."""
    fail_for(row, at, range(10))
    at(500)
    assert watch_failing() == 0
    row.refresh_from_db()
    assert row.status == Status.ACTIVE


def test_a_watch_that_was_away_warns_12_hours_before_it_disables(
    row: Subscription, at: Clock
) -> None:
    for hour in range(200):
        attempt(row, at(hour))
    assert watch_failing() == 1
    fail_for(row, at, range(200, 211))
    row.refresh_from_db()
    assert (row.status, published()) == (Status.ACTIVE, [("subscription.failing", 90)])
    event = Event.objects.get()
    assert event.payload["will_be_disabled_at"] == (START + 211 * HOUR).isoformat()
    fail_for(row, at, range(211, 212))
    row.refresh_from_db()
    assert row.status == Status.DISABLED


def test_looking_at_what_fails_is_one_query_where_nothing_follows(
    account: Account, at: Clock, django_assert_num_queries: Any
) -> None:
    for _ in range(5):
        attempt(make_subscription(account), at(0))
    with django_assert_num_queries(1):
        assert watch_failing() == 0


def test_a_paused_one_is_left_alone(row: Subscription, at: Clock) -> None:
    for hour in range(200):
        attempt(row, at(hour))
    set_status(subscription=row, status=Status.PAUSED)
    assert watch_failing() == 0
    row.refresh_from_db()
    assert row.status == Status.PAUSED


def test_taken_up_again_its_time_begins_anew_and_a_success_is_told(
    row: Subscription, at: Clock
) -> None:
    fail_for(row, at, range(121))
    set_status(subscription=row, status=Status.ACTIVE)
    assert facts(row) == (None, None, 0)
    fail_for(row, at, range(121, 171))
    assert facts(row) == (START + 121 * HOUR, START + 170 * HOUR, 0)
    row.refresh_from_db()
    assert row.status == Status.ACTIVE
    attempt(row, at(172), succeeded=True)
    assert facts(row) == (None, None, None)
    assert [name for name, _ in published()][-2:] == [
        "subscription.disabled", "subscription.recovered",
    ]  # fmt: skip
