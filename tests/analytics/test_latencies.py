"""Sketches that an earlier look read are known, until more is counted into their rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.counting import count_marked
from analytics.figures import Figures
from analytics.latencies import add_joined, add_known
from analytics.models import Rollup
from analytics.query import Dimension, Granularity, Measure, Query, Row, answer
from analytics.sketches import Bins, bin_of, stored
from outgoing.models import Delivery
from tests.factories import make_attempt, make_delivery
from webhooks_project.uncounted import Kind, mark_uncounted

pytestmark = pytest.mark.django_db

SINCE = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
M = Measure


def attempt(delivery: Delivery, at: datetime, duration_ms: float, **fields: Any) -> None:
    values = {"queue_wait_ms": 1.0, "first_byte_ms": duration_ms / 2, **fields}
    made = make_attempt(delivery, started_at=at, duration_ms=duration_ms, **values)
    mark_uncounted(Kind.ATTEMPT, [made.started_at])
    count_marked()


def asked(delivery: Delivery, **changes: Any) -> Query:
    of: dict[str, Any] = {
        "account_ids": [delivery.account_id],
        "measures": [M.ATTEMPTS, M.TOTAL_P50_MS, M.TOTAL_P99_MS],
        "since": SINCE,
        "until": SINCE + 3 * DAY,
    }
    return Query(**of | changes)


def looked(query: Query) -> tuple[list[Row], int]:
    """The rows, and how many statements read sketches."""
    with CaptureQueriesContext(connection) as captured:
        rows = answer(query).rows
    return rows, sum("string_agg" in entry["sql"] for entry in captured)


def near(milliseconds: float) -> Any:
    return pytest.approx(milliseconds, rel=0.01)


@pytest.mark.parametrize("dimensions", [[], [Dimension.SUBSCRIPTION], [Dimension.EVENT_TYPE]])
def test_days_are_read_once_until_more_is_counted(dimensions: list[Dimension]) -> None:
    delivery, joins = make_delivery(), connection.vendor == "postgresql"
    query = asked(delivery, dimensions=dimensions)
    attempt(delivery, SINCE + timedelta(hours=5), 10.0)
    for reads in (1, 0):
        [row], read = looked(query)
        assert read == reads * joins
        assert row.values == {M.ATTEMPTS: 1, M.TOTAL_P50_MS: near(10), M.TOTAL_P99_MS: near(10)}
    attempt(delivery, SINCE + timedelta(hours=5), 30.0, number=2)
    for reads in (1, 0):
        [row], read = looked(query)
        assert read == reads * joins
        assert row.values == {M.ATTEMPTS: 2, M.TOTAL_P50_MS: near(10), M.TOTAL_P99_MS: near(30)}


def test_of_several_groups_those_that_are_known_are_not_counted_twice() -> None:
    deliveries = [first := make_delivery(), make_delivery(first.event)]
    for number, delivery in enumerate(deliveries):
        attempt(delivery, SINCE + timedelta(hours=5), 10.0 * (number + 1))
    query = asked(first, dimensions=[Dimension.SUBSCRIPTION])
    looked(query)
    attempt(first, SINCE + DAY, 40.0, number=2)
    found = {row.keys[Dimension.SUBSCRIPTION]: row.values for row in looked(query)[0]}
    assert found == {
        str(first.subscription_id): {
            M.ATTEMPTS: 2, M.TOTAL_P50_MS: near(10), M.TOTAL_P99_MS: near(40),
        },
        str(deliveries[1].subscription_id): {
            M.ATTEMPTS: 1, M.TOTAL_P50_MS: near(20), M.TOTAL_P99_MS: near(20),
        },
    }  # fmt: skip


def test_hours_of_many_days_are_known_too() -> None:
    delivery = make_delivery()
    for day in range(3):
        attempt(delivery, SINCE + day * DAY + timedelta(hours=23), 10.0 + day, number=day + 1)
    query = asked(delivery, granularity=Granularity.DAY, time_zone="Europe/Berlin")
    first, read = looked(query)
    assert [row.values[M.TOTAL_P50_MS] for row in first] == [None, near(10), near(11), near(12)]
    assert read == (connection.vendor == "postgresql")
    assert looked(query) == (first, 0)


def test_what_was_deleted_is_not_known_any_more() -> None:
    delivery = make_delivery()
    attempt(delivery, SINCE, 10.0)
    query = asked(delivery)
    looked(query)
    Rollup.objects.all().delete()
    [row], _ = looked(query)
    assert row.values == {M.ATTEMPTS: 0, M.TOTAL_P50_MS: None, M.TOTAL_P99_MS: None}


def test_all_sketches_of_rows_are_known_or_none() -> None:
    sketch = stored({bin_of(5.0): 2})
    figures = Figures()
    add_joined(figures, ["total"], [sketch * 2], version := object())  # type: ignore[arg-type]
    expected: dict[str, Bins] = {"total": {bin_of(5.0): 4}}
    assert figures.sketches == expected
    nothing = Figures()
    assert not add_known(nothing, ["total", "response"], version)  # type: ignore[arg-type]
    assert nothing.sketches == {}
    assert add_known(figures, ["total"], version)  # type: ignore[arg-type]
    assert figures.sketches == {"total": {bin_of(5.0): 8}}
