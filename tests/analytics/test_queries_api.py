"""Questions over HTTP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from analytics.counting import count_marked
from subscriptions.event_types import create_event_type
from subscriptions.models import Subscription
from tests.api.calls import Api
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

NOW = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)
OLD = NOW - timedelta(days=30)


@pytest.fixture(autouse=True)
def frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def api_of(account: Account) -> Api:
    return Api(make_api_key(account, Role.VIEWER).text)


def attempt(subscription: Any, hours: float, **fields: Any) -> None:
    event = make_event(subscription.account, created_at=NOW - timedelta(hours=hours))
    make_attempt(
        make_delivery(event, subscription), started_at=NOW - timedelta(hours=hours), **fields
    )


FAILED = {"cause": "dns", "outcome": "failed", "status_code": None}


def test_measures_by_dimension_and_day() -> None:
    account = make_account()
    subscription = make_subscription(account)
    attempt(subscription, 1, duration_ms=100.0)
    attempt(subscription, 2, **FAILED)
    attempt(subscription, 20, duration_ms=50.0)
    attempt(make_subscription(), 1)
    count_marked()
    api = api_of(account)
    found = api.get("analytics/query").json
    assert found["is_exact"] is True
    assert found["rows"] == [
        {"at": None, "hour_of_week": None, "keys": {}, "before": None,
         "values": {"attempts": 3, "success_rate": pytest.approx(2 / 3)}},
    ]  # fmt: skip
    found = api.get(
        "analytics/query?measures=attempts,total_p95_ms&dimensions=cause&granularity=day"
        "&time_zone=Europe/Berlin&compare=true&cause=succeeded&order_by=attempts&limit=3"
    ).json
    assert [(row["at"], row["keys"], row["values"]["attempts"]) for row in found["rows"]] == [
        ("2026-03-13T00:00:00+01:00", {"cause": "succeeded"}, 1),
        ("2026-03-14T00:00:00+01:00", {"cause": "succeeded"}, 1),
    ]
    assert found["rows"][1]["values"]["total_p95_ms"] == pytest.approx(100, rel=0.01)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("measures=receipts&dimensions=subscription", "measure_without_dimension"),
        ("measures=attempts&verdict=accepted", "measure_without_dimension"),
        ("subscription=x", "filter_not_acceptable"),
        ("time_zone=Moon", "unknown_time_zone"),
        ("order_by=failed", "order_not_measured"),
        ("granularity=minute&since=2026-01-01T00:00:00Z", "too_many_periods"),
    ],
)
def test_refuses_with_a_code(query: str, code: str) -> None:
    response = api_of(make_account()).get(f"analytics/query?{query}")
    assert (response.status, response.json["code"]) == (400, code)


@pytest.mark.parametrize(
    "query",
    ["measures=money", "dimensions=colour", "granularity=year", "limit=0", "since=yesterday",
     "since=2027-01-01T00:00:00Z", "since=2001-01-01T00:00:00Z", "until=0001-01-01T00:00:00Z",
     "compare=perhaps", "order_by=x", "cause=" + ",".join(map(str, range(201)))],
)  # fmt: skip
def test_refuses_nonsense(query: str) -> None:
    assert api_of(make_account()).get(f"analytics/query?{query}").status == 400


def test_nobody_asks_about_another_account() -> None:
    subscription = make_subscription()
    attempt(subscription, 1)
    count_marked()
    api = api_of(make_account())
    for of in (f"account={subscription.account_id}", f"subscription={subscription.pk}"):
        [row] = api.get(f"analytics/query?measures=attempts&{of}").json["rows"]
        assert row["values"] == {"attempts": 0}
    assert api.get("analytics/query?dimensions=account").json["rows"] == []


def test_top_lists() -> None:
    account = make_account()
    failing, slow, idle = (
        make_subscription(account, name=name, status="active")
        for name in ("failing", "slow", "idle")
    )
    Subscription.objects.update(created_at=OLD)
    for _ in range(10):
        attempt(slow, 1, duration_ms=900.0)
        attempt(failing, 1, duration_ms=5.0)
    attempt(failing, 1, **FAILED)
    noisy = make_source(account, name="noisy")
    for _ in range(2):
        make_receipt(noisy, received_at=NOW - timedelta(hours=1))
    make_receipt(make_source(account, name="calm"), received_at=NOW - timedelta(hours=1))
    with time_machine.travel(OLD, tick=False):
        create_event_type(account=account, name="never.sent")
        create_event_type(account=account, name=make_event(account, created_at=NOW).type)
    count_marked()
    api = api_of(account)

    def names(kind: str) -> list[str]:
        return [item["name"] for item in api.get(f"analytics/top/{kind}").json]

    assert names("failing-endpoints") == ["failing"]
    assert names("slowest-endpoints") == ["slow", "failing"]
    assert names("noisiest-sources") == ["noisy", "calm"]
    assert names("unused-types") == ["never.sent"]
    assert names("unused-subscriptions") == ["idle"]
    assert idle.name == "idle"
    assert api.get("analytics/top/best-jokes").status == 404
    assert api_of(make_account()).get("analytics/top/failing-endpoints").json == []


def test_trends_and_health() -> None:
    account = make_account()
    subscription = make_subscription(account, name="shop")
    for day in range(1, 11):
        attempt(subscription, 24 * day)
    attempt(subscription, 1)
    make_receipt(make_source(account, name="in"), received_at=NOW - timedelta(hours=1))
    count_marked()
    api = api_of(account)
    trend = api.get("analytics/trends?days=14&ahead=2&time_zone=Asia/Tokyo").json
    assert [day["value"] for day in trend["history"]] == [0] * 4 + [1] * 9 + [2]
    assert len(trend["expected"]) == 2
    assert trend["expected"][0]["day"] == "2026-03-15"
    assert 1 < trend["expected"][0]["value"] < 2
    health = api.get("analytics/integration-health").json
    [endpoint], [source] = health["endpoints"], health["sources"]
    assert (endpoint["name"], endpoint["trend"]) == ("shop", "rising")
    assert endpoint["values"]["attempts"] == 8
    assert endpoint["before"]["attempts"] == 3
    assert endpoint["last_success_at"] == "2026-03-14T14:09:00Z"
    assert (source["name"], source["trend"], source["status"]) == ("in", "new", "enabled")


@pytest.mark.parametrize(
    "period",
    [
        "since=0001-01-01T00:00:00Z&until=0001-01-02T00:00:00Z", "until=0001-01-01T12:00:00Z",
        "since=9999-12-31T00:00:00Z&until=9999-12-31T23:59:00Z", "until=9999-12-31T23:59:59Z",
        "since=1999-12-31T00:00:00Z&until=2000-01-01T00:00:00Z",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "path", ["query?granularity=month&time_zone=Asia/Tokyo&compare=true&", "overview?"]
)
def test_the_ends_of_the_calendar_are_refused(path: str, period: str) -> None:
    answer = Api(make_api_key(make_account(), Role.VIEWER).text).get(f"analytics/{path}{period}")
    assert (answer.status, set(answer.errors.values())) == (400, {"period_not_acceptable"})
