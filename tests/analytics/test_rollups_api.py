"""The counts themselves, period by period, as the API lists them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from drf_spectacular.generators import SchemaGenerator

from analytics.models import Scope
from analytics.periods import Grain
from tests.api.calls import Api
from tests.factories import (
    make_account,
    make_api_key,
    make_receipt_rollup,
    make_rollup,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account, Role

pytestmark = pytest.mark.django_db

AT = datetime(2026, 3, 1, tzinfo=UTC)
COUNTS = {"minute": 1, "hour": 2, "day": 3, "month": 4}
PATHS = {"analytics/rollups": "attempts", "analytics/receipt-rollups": "receipts"}
BOTH = pytest.mark.parametrize(("path", "counted"), PATHS.items())


def reader(account: Account) -> Api:
    return Api(make_api_key(account, Role.VIEWER).text)


def make_grains(account: Account) -> None:
    """Of each grain one row of each series, with another count; and one of a coarser scope."""
    subscription, source = make_subscription(account), make_source(account)
    for grain in Grain:
        count = COUNTS[grain.name.lower()]
        for scope in (Scope.ACCOUNT, Scope.FULL):
            make_rollup(subscription, AT, grain=grain, scope=scope, attempts=count)
            make_receipt_rollup(source, AT, grain=grain, scope=scope, receipts=count)


@BOTH
@pytest.mark.parametrize("grain", ["", *COUNTS])
def test_lists_the_periods_of_one_grain(path: str, counted: str, grain: str) -> None:
    account = make_account()
    make_grains(account)
    rows = reader(account).get(f"{path}?grain={grain}" if grain else path).rows
    grain = grain or "minute"
    assert [(row["grain"], row["at"], row[counted]) for row in rows] == [
        (grain, "2026-03-01T00:00:00Z", COUNTS[grain])
    ]


@BOTH
@pytest.mark.parametrize("grain", ["week", "1", "MINUTE"])
def test_refuses_a_grain_that_is_none(path: str, counted: str, grain: str) -> None:
    answer = reader(make_account()).get(f"{path}?grain={grain}")
    assert answer.status == 400
    assert answer.errors == {"/grain": "invalid_choice"}


@BOTH
def test_lists_nothing_of_another_account(path: str, counted: str) -> None:
    account, other = make_account(), make_account()
    make_grains(other)
    make_grains(account)
    for grain in COUNTS:
        rows = reader(account).get(f"{path}?grain={grain}").rows
        assert [row["account"] for row in rows] == [str(account.pk)]
        assert reader(account).get(f"{path}?grain={grain}&account={other.pk}").rows == []


@BOTH
def test_lists_a_page_at_a_time_the_newest_first(path: str, counted: str) -> None:
    account = make_account()
    subscription, source = make_subscription(account), make_source(account)
    for number in range(1, 4):
        at = AT + timedelta(minutes=number)
        make_rollup(subscription, at, attempts=number)
        make_receipt_rollup(source, at, receipts=number)
    api = reader(account)
    first = api.get(f"{path}?page_size=2")
    assert [row[counted] for row in first.rows] == [3, 2]
    second = api.get(path + "?" + first.json["next"].partition("?")[2])
    assert [row[counted] for row in second.rows] == [1]
    assert second.json["next"] is None


def test_a_row_of_receipts_says_what_was_counted() -> None:
    source = make_source()
    make_receipt_rollup(
        source, AT, event_type="order.paid", verdict="duplicate", receipts=7, receipt_bytes=70
    )
    assert reader(source.account).get("analytics/receipt-rollups").rows == [
        {
            "account": str(source.account_id),
            "source": str(source.pk),
            "event_type": "order.paid",
            "grain": "minute",
            "at": "2026-03-01T00:00:00Z",
            "verdict": "duplicate",
            "cause": "",
            "receipts": 7,
            "receipt_bytes": 70,
        }
    ]


def test_receipts_are_filtered_by_source_verdict_cause_and_period() -> None:
    account = make_account()
    one, two = make_source(account), make_source(account)
    make_receipt_rollup(one, AT, receipts=1)
    make_receipt_rollup(one, AT, receipts=2, verdict="refused", cause="rate_limited")
    make_receipt_rollup(one, AT, receipts=3, verdict="refused", cause="too_large")
    make_receipt_rollup(two, AT + timedelta(minutes=1), receipts=4)
    api = reader(account)

    def found(query: str) -> list[Any]:
        return sorted(row["receipts"] for row in api.get(f"analytics/receipt-rollups?{query}").rows)

    assert found("") == [1, 2, 3, 4]
    assert found(f"source={one.pk}") == [1, 2, 3]
    assert found("verdict=refused") == [2, 3]
    assert found("verdict=accepted") == [1, 4]
    assert found("cause=too_large") == [3]
    assert found("since=2026-03-01T00:01:00Z") == [4]  # since counts
    assert found("until=2026-03-01T00:01:00Z") == [1, 2, 3]  # until does not
    answer = api.get("analytics/receipt-rollups?verdict=lost")
    assert answer.errors == {"/verdict": "invalid_choice"}


@BOTH
def test_the_schema_has_the_grains(path: str, counted: str) -> None:
    schema = SchemaGenerator().get_schema(request=None, public=True)
    [operation] = [
        item["get"] for name, item in schema["paths"].items() if name.strip("/").endswith(path)
    ]
    [grain] = [item for item in operation["parameters"] if item["name"] == "grain"]
    assert grain["schema"] == {"type": "string", "enum": sorted(COUNTS), "default": "minute"}
