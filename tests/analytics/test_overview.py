"""What came in and went out in a period, as the API tells it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client

from analytics.tasks import roll_up
from tests.factories import (
    make_account,
    make_api_key,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
URL = "/api/v1/webhooks/analytics/overview"
CLIENT = Client()  # a new one loads every middleware anew


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def ask(account: Account, **query: str) -> Any:
    key = make_api_key(account, Role.VIEWER)
    return CLIENT.get(URL, query, headers={"authorization": f"Bearer {key.text}"})


def make_history(account: Account, at: datetime) -> None:
    """Three receipts, two events, three deliveries, three attempts."""
    source = make_source(account)
    for status in ("processed", "processed", "refused"):
        make_receipt(source, status=status, received_at=at, next_attempt_at=None)
    event = make_event(account, created_at=at)
    make_event(account, created_at=at)
    statuses = ("delivered", "delivered", "exhausted")
    deliveries = [
        make_delivery(event, make_subscription(account), status=status, created_at=at)
        for status in statuses
    ]
    make_attempt(deliveries[0], started_at=at)
    make_attempt(deliveries[0], started_at=at)
    make_attempt(deliveries[2], started_at=at, cause="status_5xx", outcome="failed")
    roll_up()


FIGURES = {
    "receipts": {"processed": 2, "refused": 1},
    "events": 2,
    "deliveries": {"delivered": 2, "exhausted": 1},
    "attempts": {"succeeded": 2, "status_5xx": 1},
}
NOTHING = {"receipts": {}, "events": 0, "deliveries": {}, "attempts": {}}


def figures(response: Any) -> Any:
    answer = response.json()
    return {name: answer[name] for name in FIGURES}


def test_tells_the_last_day_in_numbers() -> None:
    account = make_account()
    make_history(account, NOW - timedelta(hours=2))
    make_history(account, NOW - timedelta(hours=25))
    response = ask(account)
    assert response.status_code == 200
    assert figures(response) == FIGURES
    since, until = (datetime.fromisoformat(response.json()[name]) for name in ("since", "until"))
    assert (since, until) == (NOW - timedelta(days=1), NOW)


def test_tells_nothing_of_another_account() -> None:
    make_history(make_account(), NOW - timedelta(hours=2))
    assert figures(ask(make_account())) == NOTHING


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z", NOTHING),
        ("2026-03-10T12:00:00Z", "2026-03-10T12:01:00Z", FIGURES),  # since counts
        ("2026-03-10T11:00:00Z", "2026-03-10T12:00:00Z", NOTHING),  # until does not
        ("2026-03-10T13:00:00+01:00", "2026-03-10T13:01:00+01:00", FIGURES),
        ("2026-02-08T00:00:00Z", "2026-03-11T00:00:00Z", FIGURES),  # 31 days
    ],
)
def test_counts_what_is_in_the_period(since: str, until: str, expected: Any) -> None:
    account = make_account()
    make_history(account, datetime(2026, 3, 10, 12, 0, tzinfo=UTC))
    assert figures(ask(account, since=since, until=until)) == expected


@pytest.mark.parametrize(
    "query",
    [
        {"since": "2026-03-10T12:00:00Z", "until": "2026-03-10T12:00:00Z"},
        {"since": "2026-03-11T12:00:00Z", "until": "2026-03-10T12:00:00Z"},
        {"since": "2026-03-15T12:00:00Z"},
        {"since": "2026-02-07T23:59:59Z", "until": "2026-03-11T00:00:00Z"},
        {"since": "yesterday"},
    ],
)
def test_refuses_a_period_that_is_none_or_too_long(query: dict[str, str]) -> None:
    response = ask(make_account(), **query)
    assert response.status_code == 400
    assert not set(FIGURES) & set(response.json())


def test_tells_strangers_nothing() -> None:
    assert CLIENT.get(URL).status_code == 401


def test_takes_a_fixed_number_of_queries(django_assert_max_num_queries: Any) -> None:
    account = make_account()
    counts = []
    for hours in (1, 2):
        make_history(account, NOW - timedelta(hours=hours))
        with django_assert_max_num_queries(30) as captured:
            ask(account)
        counts.append(len(captured))
    assert counts[0] == counts[1]
