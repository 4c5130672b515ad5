"""How an event type is used."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from outgoing import usage
from outgoing.usage import TypeUsage, VersionUsage, usage_of_type
from subscriptions.event_types import create_event_type
from subscriptions.models import EventType
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_delivery,
    make_event,
    make_subscription,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SINCE = NOW - timedelta(days=7)


@pytest.fixture
def event_type() -> EventType:
    return create_event_type(account=make_account(), name="invoice.paid")


def make(event_type: EventType, version: str, *, at: datetime = SINCE, **fields: Any) -> Any:
    return make_event(
        event_type.account, type="invoice.paid", schema_version=version, created_at=at, **fields
    )


def test_counts_by_version(event_type: EventType) -> None:
    account = event_type.account
    one = make_subscription(account, event_types=("invoice.*", "invoice.paid"))
    two = make_subscription(account, event_types=("*",), status="paused")
    make_subscription(account, event_types=("invoice.paid",), status="archived")
    make_subscription(account, event_types=("invoice",))
    make_subscription(make_account(), event_types=("*",))
    first, second = make(event_type, "1.0"), make(event_type, "1.0", schema_errors=[{"path": ""}])
    make_delivery(first, one, status="delivered")
    make_delivery(first, two, status="held", last_cause="dns")
    make_delivery(second, one, status="exhausted", last_cause="dns")
    make_delivery(second, two, status="pending")
    make(event_type, "2.0", quarantined_at=NOW, schema_errors=[{"path": ""}])
    make(event_type, "10.0")
    make(event_type, "")
    make(event_type, "1.0", at=SINCE - timedelta(microseconds=1))
    make(event_type, "1.0", at=NOW)
    make_event(account, type="invoice", created_at=SINCE)
    make_event(type="invoice.paid", created_at=SINCE)
    found = usage_of_type(event_type=event_type, since=SINCE, until=NOW)
    assert found == TypeUsage(
        since=SINCE,
        until=NOW,
        subscriptions=2,
        versions=[
            VersionUsage("10.0", events=1),
            VersionUsage("2.0", events=1, quarantined=1, mismatched=1),
            VersionUsage(
                "1.0",
                events=2,
                mismatched=1,
                subscriptions=2,
                deliveries=4,
                delivered=1,
                failing=1,
                failed=1,
            ),
            VersionUsage("", events=1),
        ],
    )
    assert found.events == 5


def test_counts_a_bounded_number_and_says_since_when(
    event_type: EventType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "MAX_EVENTS", 3)
    for day in range(6):
        make(event_type, "1.0", at=SINCE + timedelta(days=day))
    found = usage_of_type(event_type=event_type, since=SINCE, until=NOW)
    assert (found.events, found.since) == (3, SINCE + timedelta(days=2, microseconds=1))


def test_a_period_has_a_longest(event_type: EventType) -> None:
    make(event_type, "1.0", at=NOW - timedelta(days=32))
    found = usage_of_type(event_type=event_type, since=NOW - timedelta(days=90), until=NOW)
    assert (found.since, found.events) == (NOW - timedelta(days=31), 0)


def test_takes_four_queries(event_type: EventType, django_assert_num_queries: Any) -> None:
    make_delivery(make(event_type, "1.0"))
    with django_assert_num_queries(4):
        usage_of_type(event_type=event_type, since=SINCE, until=NOW)


def test_is_asked_for_by_api(event_type: EventType) -> None:
    api = Api(make_api_key(event_type.account).text)
    make(event_type, "1.0")
    path = f"subscriptions/event-types/{event_type.pk}/usage"
    answer = api.get(f"{path}?since=2026-02-25T05:06:07Z&until=2026-03-04T05:06:07Z")
    assert answer.status == 200
    assert answer.json == {
        "id": str(event_type.pk),
        "since": "2026-02-25T05:06:07Z",
        "until": "2026-03-04T05:06:07Z",
        "events": 1,
        "subscriptions": 0,
        "versions": [
            {
                "version": "1.0",
                "events": 1,
                "quarantined": 0,
                "mismatched": 0,
                "subscriptions": 0,
                "deliveries": 0,
                "delivered": 0,
                "failing": 0,
                "failed": 0,
            }
        ],
    }
    assert api.get(path).json["events"] == 0  # the last seven days
    for query in ("since=x", "since=2026-03-04T00:00:00Z&until=2026-03-04T00:00:00Z",
                  "since=2026-01-01T00:00:00Z&until=2026-03-04T00:00:00Z"):  # fmt: skip
        assert set(api.get(f"{path}?{query}").errors) == {"/since"}
