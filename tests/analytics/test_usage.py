"""What a subscription is used for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client

from analytics import usage
from analytics.counting import count_marked
from analytics.usage import usage_of
from subscriptions.models import Subscription
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_attempt,
    make_delivery,
    make_event,
    make_rollup,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Role
from webhooks_project.admin.values import page_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def deliver(subscription: Subscription, ago: timedelta, **fields: Any) -> Any:
    moment = NOW - ago
    event = make_event(subscription.account, created_at=moment)
    return make_delivery(event, subscription, created_at=moment, **fields)


def rollup(subscription: Subscription, ago: timedelta, **fields: Any) -> None:
    make_rollup(subscription, NOW - ago, **fields)


def of_last_day(subscription: Subscription) -> usage.Usage:
    return usage_of(subscription, since=NOW - DAY, until=NOW)


def test_counts_deliveries_of_the_period() -> None:
    subscription = make_subscription()
    hour = timedelta(hours=1)
    deliver(subscription, hour, status="delivered", delivered_at=NOW - hour)
    deliver(subscription, hour, status="pending", last_cause="timeout_response")
    deliver(subscription, hour, status="held", last_cause="dns")
    deliver(subscription, hour, status="exhausted", last_cause="dns")
    deliver(subscription, hour)
    deliver(subscription, DAY)
    deliver(subscription, DAY + hour)
    deliver(make_subscription(subscription.account), hour)
    found = of_last_day(subscription)
    assert (found.matched, found.is_capped, found.failing) == (6, False, 2)
    assert found.deliveries == {"delivered": 1, "exhausted": 1, "held": 1, "pending": 3}


def test_counts_no_more_than_is_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MAX_COUNTED", 2)
    subscription = make_subscription()
    for _ in range(3):
        deliver(subscription, timedelta(hours=1))
    found = of_last_day(subscription)
    assert (found.matched, found.is_capped) == (2, True)


def test_attempts_and_latency() -> None:
    subscription = make_subscription()
    for number in range(1, 21):
        delivery = deliver(subscription, timedelta(minutes=number), attempt_count=1)
        cause = "dns" if number == 20 else ""
        make_attempt(delivery, duration_ms=float(number), cause=cause,
                     started_at=NOW - timedelta(minutes=number))  # fmt: skip
    old = deliver(subscription, timedelta(days=2), attempt_count=1)
    make_attempt(old, started_at=NOW - timedelta(days=2), duration_ms=5000.0)
    count_marked()
    found = of_last_day(subscription)
    assert found.attempts == {"succeeded": 19, "dns": 1}
    assert found.p50_ms == pytest.approx(10, rel=0.01)
    assert found.p95_ms == pytest.approx(19, rel=0.01)
    assert (found.mean_ms, found.max_ms, found.sampled) == (10.5, 20.0, 20)


def test_nothing_is_nothing() -> None:
    found = of_last_day(make_subscription())
    assert (found.matched, found.deliveries, found.attempts) == (0, {}, {})
    assert found.p50_ms is found.p95_ms is found.mean_ms is found.max_ms is None
    assert (found.last_success_at, found.quota_percent) == (None, None)


def test_the_last_success_is_exact_while_it_is_new_and_to_the_minute_later() -> None:
    subscription = make_subscription()
    rollup(subscription, timedelta(days=40))
    rollup(subscription, timedelta(minutes=1), cause="dns")
    assert of_last_day(subscription).last_success_at == (NOW - timedelta(days=40)).replace(second=0)
    exact = NOW - timedelta(minutes=3, seconds=2)
    deliver(subscription, timedelta(minutes=4), status="delivered", delivered_at=exact,
            attempt_count=1)  # fmt: skip
    assert of_last_day(subscription).last_success_at == exact


@pytest.mark.parametrize(
    ("period", "used", "percent"),
    [("second", 0.5, 5.0), ("minute", 30, 300.0), ("hour", 70, 700.0)],
)
def test_quota(period: str, used: float, percent: float) -> None:
    subscription = make_subscription(rate_limit=10, rate_period=period)
    rollup(subscription, timedelta(0), attempts=1000)
    rollup(subscription, timedelta(minutes=1), attempts=1000)  # may not be counted whole
    rollup(subscription, timedelta(minutes=2), attempts=30)
    rollup(subscription, timedelta(minutes=61), attempts=40)
    rollup(subscription, timedelta(minutes=62), attempts=1000)
    found = of_last_day(subscription)
    assert (found.rate_limit, found.rate_period) == (10, period)
    assert (found.quota_used, found.quota_percent) == (used, percent)


def test_takes_as_many_queries_whatever_the_history(django_assert_num_queries: Any) -> None:
    subscription = make_subscription()
    # PostgreSQL reads hours and minutes at once.
    asked = 10 if connection.vendor == "postgresql" else 12
    for length in (1, 5):
        for _ in range(length):
            make_attempt(deliver(subscription, timedelta(hours=1), attempt_count=1))
        with django_assert_num_queries(asked):
            of_last_day(subscription)


# --- where it is shown ----------------------------------------------------------------------------


def test_the_api_gives_the_last_day_or_a_period() -> None:
    account = make_account()
    subscription = make_subscription(account)
    deliver(subscription, timedelta(hours=1))
    deliver(subscription, timedelta(days=3))
    api = Api(make_api_key(account, Role.VIEWER).text)
    path = f"subscriptions/{subscription.pk}/usage"
    assert api.get(path).json["matched"] == 1
    longer = api.get(f"{path}?since=2026-03-01T00:00:00Z&until=2026-03-05T00:00:00Z")
    assert (longer.json["matched"], longer.json["subscription"]) == (2, str(subscription.pk))
    too_long = api.get(f"{path}?since=2026-01-01T00:00:00Z&until=2026-03-05T00:00:00Z")
    assert set(too_long.errors) == {"/until"}


def test_the_console_shows_the_last_day() -> None:
    subscription = make_subscription(rate_limit=5, rate_period="minute")
    deliver(subscription, timedelta(hours=1), status="delivered")
    client = Client()
    client.force_login(make_user(is_staff=True, is_superuser=True))
    page = client.get(page_of("subscriptions.subscription", subscription.pk))
    [panel] = [item for item in page.context["panels"] if item.title == "The last 24 hours"]
    assert panel.rows[:2] == [["Events matched", "1"], ["Delivered", "1"]]
    assert panel.rows[-1] == ["Rate", "0 of 5 a minute: 0.0%"]
