"""Filters, and what a list costs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.models import Objective
from incoming.models import HandlerRun, ReceiptReplay, RefusalCount
from monitoring.alert_rules import create_rule
from monitoring.channels.services import create_channel
from monitoring.journal import record_activity, record_change, record_notification
from monitoring.models import Finding, HealthCheck, Incident
from outgoing.models import Replay
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import BulkJob
from subscriptions.services import rotate_secret
from tests.api.calls import Api
from tests.api.routes import LISTS, NO_EVENT_PLAN, NO_PLAN, ROUTES
from tests.factories import (
    make_account,
    make_anchor,
    make_api_key,
    make_attempt,
    make_dashboard,
    make_delivery,
    make_event,
    make_receipt,
    make_receipt_rollup,
    make_report,
    make_report_run,
    make_retry,
    make_rollup,
    make_source,
    make_subscription,
    make_user,
)
from webhooks_project.accounts.models import Account, ApiKey, Role

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture
def account() -> Account:
    return make_account()


@pytest.fixture
def api(account: Account) -> Api:
    return Api(make_api_key(account, Role.ADMIN).text)


def ids(api: Api, path: str) -> set[str]:
    return {row["id"] for row in api.get(path).rows}


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("type=a", {0, 1}),
        ("type=b", {2}),
        ("idempotency_key=k", {1}),
        ("correlation_id=c", {2}),
        ("causation_id=receipt:1", {0}),
        ("since=2026-03-04T05:06:08Z", {1, 2}),
        ("until=2026-03-04T05:06:08Z", {0}),
        ("since=2026-03-04T05:06:08Z&until=2026-03-04T05:06:09Z", {1}),
        ("since=2026-03-04T06:06:08%2B01:00", {1, 2}),
        ("type=%", set()),
    ],
)
def test_events(api: Api, account: Account, query: str, found: set[int]) -> None:
    rows = [
        make_event(account, type="a", created_at=NOW, causation_id="receipt:1"),
        make_event(account, type="a", created_at=NOW + timedelta(seconds=1), idempotency_key="k"),
        make_event(account, type="b", created_at=NOW + timedelta(seconds=2), correlation_id="c"),
    ]
    assert ids(api, f"outgoing/events?{query}") == {str(rows[n].pk) for n in found}


def test_deliveries(api: Api, account: Account) -> None:
    one = make_delivery(make_event(account, type="a"), status="exhausted", last_cause="dns")
    two = make_delivery(make_event(account, type="b"))
    for query, row in [
        ("status=exhausted", one),
        ("status=pending", two),
        (f"subscription={one.subscription_id}", one),
        (f"event={two.event_id}", two),
        ("last_cause=dns", one),
        ("event_type=b", two),
        (f"subscription={str(two.subscription_id).upper()}", two),
    ]:
        assert ids(api, f"outgoing/deliveries?{query}") == {str(row.pk)}, query


def test_attempts(api: Api, account: Account) -> None:
    one = make_attempt(make_delivery(make_event(account)))
    two = make_attempt(
        make_delivery(make_event(account)), outcome="failed", cause="status_5xx", status_code=500
    )
    for query, row in [
        ("outcome=failed", two),
        ("status_code=200", one),
        ("cause=status_5xx", two),
        (f"delivery={one.delivery_id}", one),
        (f"subscription={two.delivery.subscription_id}", two),
    ]:
        assert ids(api, f"outgoing/attempts?{query}") == {str(row.pk)}, query
    assert ids(api, "outgoing/attempts?status_code=99999999999999999999") == set()


def test_receipts(api: Api, account: Account) -> None:
    one = make_receipt(make_source(account), external_id="x", received_at=NOW)
    two = make_receipt(
        make_source(account), status="refused", cause="rate_limited", external_id="", type="y"
    )
    for query, row in [
        ("status=accepted", one),
        ("cause=rate_limited", two),
        ("external_id=x", one),
        ("type=y", two),
        (f"source={one.source_id}", one),
        (f"request_id={two.request_id}", two),
        ("until=2026-03-04T05:06:08Z", one),
    ]:
        assert ids(api, f"incoming/receipts?{query}") == {str(row.pk)}, query


def test_subscriptions(api: Api, account: Account) -> None:
    one = make_subscription(account, event_types=("a", "b.*"))
    two = make_subscription(account, event_types=("a.*",), status="paused")
    for query, row in [("status=paused", two), ("event_type=b.*", one), ("event_type=a", one)]:
        assert ids(api, f"subscriptions?{query}") == {str(row.pk)}, query
    assert ids(api, f"subscriptions?account={account.pk}") == {str(one.pk), str(two.pk)}


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("outgoing/deliveries", "status=nonsense", "status"),
        ("outgoing/deliveries", "subscription=nonsense", "subscription"),
        ("outgoing/events", "since=yesterday", "since"),
        ("outgoing/events", "account=1", "account"),
        ("outgoing/events", "since=0001-01-01T00:00:00%2B14:00", "since"),
        ("outgoing/attempts", "until=0001-01-01T00:00:00%2B14:00", "until"),
        ("incoming/receipts", "until=9999-12-31T23:59:59-12:00", "until"),
        ("incoming/runs", "since=9999-12-31T23:59:59-12:00", "since"),
        ("outgoing/events", "type=%00", "type"),
        ("outgoing/attempts", "status_code=x", "status_code"),
    ],
)
def test_says_which_filter_is_malformed(api: Api, path: str, query: str, field: str) -> None:
    answer = api.get(f"{path}?{query}")
    assert set(answer.errors) == {f"/{field}"}


# --- cost -----------------------------------------------------------------------------------------


def _rows(account: Account) -> None:
    """One more row in every list."""
    subscription = make_subscription(account, event_types=("a", "b"))
    rotate_secret(subscription=subscription)
    event_type = create_event_type(account=account, name=f"type.{subscription.pk.hex}")
    add_schema(event_type=event_type, schema={})
    delivery = make_delivery(make_event(account), subscription, lane=None)
    make_attempt(delivery)
    make_retry(delivery)
    make_delivery(make_event(account), subscription, status="exhausted")
    source = make_source(account, routes=({}, {}))
    receipt = make_receipt(source)
    make_receipt(source, status="dead", next_attempt_at=None, dead_at=NOW)
    HandlerRun.objects.create(
        account=account, source=source, receipt=receipt, handler="h", created_at=NOW
    )
    ReceiptReplay.objects.create(
        account=account, since=NOW, until=NOW, created_at=NOW, plan=NO_PLAN
    )
    create_channel(account=account, kind="webhook", name=f"Channel {subscription.pk.hex}")
    record_notification(
        account_id=account.pk, kind="k", recipients=["a@example.com"], title="A", text="B"
    )
    RefusalCount.objects.create(account=account, source=source, hour=NOW, cause="rate_limited")
    record_activity(account_id=account.pk, kind="k", text="t")
    record_change(account_id=account.pk, action="a", subject=source)
    make_anchor(account)
    Finding.objects.create(
        account=account, source=source, kind="no_route", text="t", first_seen_at=NOW,
        last_seen_at=NOW,
    )  # fmt: skip
    Replay.objects.create(account=account, since=NOW, until=NOW, created_at=NOW, plan=NO_EVENT_PLAN)
    BulkJob.objects.create(account=account, action="pause", created_at=NOW)
    make_api_key(account)
    make_user(account)
    HealthCheck.objects.create(
        account=account, subscription=subscription, state_since=NOW, wanted_since=NOW,
        judged_at=NOW,
    )  # fmt: skip
    create_rule(account=account, name=subscription.pk.hex, kind="endpoint_failing")
    Incident.objects.create(
        account=account, kind="endpoint_failing", severity="critical", key=f"{source.pk.hex}:x:",
        title="t", opened_at=NOW, last_seen_at=NOW,
    )  # fmt: skip
    make_report_run(make_report(account, dashboard=make_dashboard(account)))
    make_rollup(subscription, NOW)
    make_receipt_rollup(source, NOW)
    Objective.objects.create(account=account, subscription=subscription)


# Beside the one that finds the key.
QUERIES = {
    "source-list": 3,  # with their secrets and routes
    "subscription-list": 3,  # with their event types and secrets
    "event-type-list": 2,  # with their schemas
    "incident-list": 2,  # with their rules
    "alert-rule-list": 3,  # with their channels and those of escalation
    "dashboard-list": 2,  # with their widgets
    "report-run-list": 2,  # with their files
}


# Of one account there is one row at most.
ONE_ROW = frozenset({"health-policy-list"})


@pytest.mark.parametrize("name", [name for name in LISTS if name not in ONE_ROW])
def test_a_list_takes_as_many_queries_whatever_its_length(
    api: Api, account: Account, name: str
) -> None:
    ApiKey.objects.update(last_used_at=datetime.now(UTC))
    counts = []
    for length in (1, 4):
        while len(api.get(ROUTES[name].path).rows) < length:
            _rows(account)
        with CaptureQueriesContext(connection) as queries:
            api.get(ROUTES[name].path)
        counts.append(len(queries))
    assert counts == [1 + QUERIES.get(name, 1)] * 2


@pytest.mark.parametrize(
    ("path", "made", "queries"),
    [
        ("outgoing/events/{}/deliveries", make_event, 2),
        ("outgoing/deliveries/{}", make_delivery, 2),
        ("outgoing/events/{}", make_event, 1),
        ("subscriptions/{}", make_subscription, 3),
        ("incoming/sources/{}", make_source, 3),
        ("incoming/receipts/{}", make_receipt, 3),  # with its runs, and its source's secrets
    ],
)
def test_a_row_takes_few_queries(path: str, made: Callable[[], Any], queries: int) -> None:
    row = made()
    api = Api(make_api_key(row.account, Role.ADMIN).text)
    ApiKey.objects.update(last_used_at=datetime.now(UTC))
    with CaptureQueriesContext(connection) as captured:
        assert api.get(path.format(row.pk)).status == 200
    assert len(captured) == 1 + queries


def test_a_list_of_events_reads_no_data_and_one_of_receipts_no_body(
    api: Api, account: Account
) -> None:
    make_event(account)
    make_receipt(make_source(account))
    for path, column in (("outgoing/events", "data"), ("incoming/receipts", "body")):
        with CaptureQueriesContext(connection) as queries:
            (row,) = api.get(path).rows
        assert column not in row
        assert not any(f'"{column}"' in query["sql"] for query in queries)
