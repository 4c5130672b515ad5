"""How integrations do, usage and volume are what attempts, calls and deliveries themselves say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from analytics.forecasts import volume_of
from analytics.integrations import OF_ENDPOINTS, OF_SOURCES, Integration, integration_health
from analytics.query import Measure
from analytics.usage import usage_of
from outgoing.models import Delivery
from subscriptions.models import Subscription
from tests.analytics.grouped import quickly, within
from tests.analytics.recomputing import (
    SPAN,
    START,
    ZONES,
    calls,
    check_values,
    figures_of_attempts,
    figures_of_calls,
    forget,
    histories,
    make_calls,
    make_deliveries,
    make_history,
    make_sources,
    midnight,
)
from tests.factories import make_delivery, make_event, make_subscription

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
QUICKLY = quickly(max_examples=25)


def trend(now: int, before: int) -> str:
    if not before:
        return "new" if now else "steady"
    if abs(now - before) * 10 < before:
        return "steady"
    return "rising" if now > before else "falling"


def check_health(
    found: list[Integration], now: Any, before: Any, figures: Any, measures: Any
) -> None:
    """Those with something in one of the periods, the most first."""
    volume = {key: len(now.get(key, [])) for key in {*now, *before}}
    assert [item.id for item in found] == sorted(volume, key=lambda key: (-volume[key], str(key)))
    for item in found:
        assert tuple(item.values) == tuple(item.before) == measures
        check_values(item.values, figures(now.get(item.id, [])))
        check_values(item.before, figures(before.get(item.id, [])))
        assert item.trend == trend(volume[item.id], len(before.get(item.id, [])))


def test_integration_health() -> None:
    deliveries, sources = make_deliveries(), make_sources()
    owner = {row.pk: row.account_id for row in sources}
    owner |= {row.subscription_id: row.account_id for row in deliveries}
    accounts = [None, [deliveries[0].account_id, sources[0].account_id], [sources[2].account_id]]

    @QUICKLY
    @given(
        attempted=histories(max_size=40),
        called=calls(),
        since=st.integers(0, SPAN),
        length=st.integers(1, SPAN),
        account_ids=st.sampled_from(accounts),
    )
    def holds(attempted: Any, called: Any, since: int, length: int, account_ids: Any) -> None:
        forget()
        attempts = make_history(deliveries, attempted)
        happened = make_calls(sources, called)
        start, long = START + since * MINUTE, length * MINUTE

        def of(rows: Iterable[Any], since: datetime) -> dict[Any, list[Any]]:
            return within(rows, since, since + long, account_ids)

        found = integration_health(account_ids=account_ids, since=start, until=start + long)
        check_health(
            found.endpoints, of(attempts, start), of(attempts, start - long), figures_of_attempts,
            OF_ENDPOINTS,
        )  # fmt: skip
        check_health(
            found.sources, of(happened, start), of(happened, start - long), figures_of_calls,
            OF_SOURCES,
        )  # fmt: skip
        succeeded: dict[Any, datetime] = {}
        for attempt in attempts:
            if not attempt.cause:
                key, minute = attempt.delivery.subscription_id, attempt.started_at.replace(second=0)
                succeeded[key] = max(minute, succeeded.get(key, minute))
        for item in found.endpoints:
            assert item.last_success_at == succeeded.get(item.id)
            assert item.account_id == owner[item.id]

    holds()


STATUSES = ("pending", "delivering", "held", "delivered", "exhausted")
CAUSES = ("", "dns", "status_5xx")


def make_usage(subscription: Subscription, history: Any) -> list[Delivery]:
    made = []
    for minute, status, last_cause in history:
        moment = START + minute * MINUTE
        event = make_event(subscription.account, created_at=moment)
        fields: dict[str, Any] = {"status": status, "last_cause": last_cause, "lane": None}
        made.append(make_delivery(event, subscription, created_at=moment, **fields))
    return made


def test_usage() -> None:
    subscription = make_subscription()
    other = make_subscription(subscription.account)
    through = [make_delivery(subscription=subscription), make_delivery(subscription=other)]
    delivery = st.tuples(st.integers(0, SPAN), st.sampled_from(STATUSES), st.sampled_from(CAUSES))

    @QUICKLY
    @given(
        attempted=histories(deliveries=2, max_size=30),
        delivered=st.lists(delivery, max_size=10),
        delivered_to_other=st.lists(delivery, max_size=3),
        since=st.integers(0, SPAN),
        length=st.integers(1, SPAN),
    )
    def holds(
        attempted: Any, delivered: Any, delivered_to_other: Any, since: int, length: int
    ) -> None:
        forget()
        kept = [row.pk for row in through]
        Delivery.objects.exclude(pk__in=kept).delete()
        make_usage(subscription, delivered)
        make_usage(other, delivered_to_other)
        attempts = make_history(through, attempted)
        start, end = START + since * MINUTE, START + (since + length) * MINUTE
        found = usage_of(subscription, since=start, until=end)

        matched = [row for row in delivered if since <= row[0] < since + length]
        assert (found.matched, found.is_capped) == (len(matched), False)
        assert found.deliveries == Counter(status for _, status, _ in matched)
        assert found.failing == sum(
            bool(cause) and status not in ("delivered", "exhausted") for _, status, cause in matched
        )
        mine = within(attempts, start, end).get(subscription.pk, [])
        assert found.attempts == Counter(row.cause or "succeeded" for row in mine)
        assert found.sampled == len(mine)
        expected = figures_of_attempts(mine)
        check_values(
            {
                Measure.TOTAL_P50_MS: found.p50_ms, Measure.TOTAL_P95_MS: found.p95_ms,
                Measure.TOTAL_MEAN_MS: found.mean_ms, Measure.TOTAL_MAX_MS: found.max_ms,
            },
            expected,
        )  # fmt: skip

    holds()


def test_volume_by_day() -> None:
    deliveries, sources = make_deliveries(), make_sources()
    today = date(2026, 10, 28)
    account = deliveries[0].account_id
    attempts_of = {
        Measure.ATTEMPTS: lambda row: 1,
        Measure.FAILED: lambda row: int(bool(row.cause)),
        Measure.REQUEST_BYTES: lambda row: row.request_bytes,
    }
    calls_of = {
        Measure.RECEIPTS: lambda row: 1,
        Measure.REFUSED: lambda row: int(row.verdict == "refused"),
        Measure.RECEIPT_BYTES: lambda row: row.size_bytes,
    }

    @QUICKLY
    @given(
        attempted=histories(max_size=30),
        called=calls(max_size=10),
        measure=st.sampled_from([*attempts_of, *calls_of]),
        days=st.integers(1, 12),
        zone=st.sampled_from(ZONES),
        hour=st.floats(0, 22),
        account_ids=st.sampled_from([None, [account]]),
    )
    def holds(
        attempted: Any, called: Any, measure: Measure, days: int, zone: str, hour: float,
        account_ids: Any,
    ) -> None:  # fmt: skip
        forget()
        attempts = make_history(deliveries, attempted)
        happened = make_calls(sources, called)
        counts: Counter[date] = Counter()
        if measure in attempts_of:
            for row in attempts:
                if account_ids is None or row.delivery.account_id in account_ids:
                    day = row.started_at.astimezone(ZoneInfo(zone)).date()
                    counts[day] += attempts_of[measure](row)
        else:
            for call in happened:
                if account_ids is None or call.source.account_id in account_ids:
                    counts[call.at.astimezone(ZoneInfo(zone)).date()] += calls_of[measure](call)
        now = midnight(today, zone) + timedelta(hours=hour)
        with time_machine.travel(now, tick=False):
            found = volume_of(measure, days=days, ahead=3, time_zone=zone, account_ids=account_ids)
        before = [today - timedelta(days=back) for back in range(days, 0, -1)]
        assert found.history == [(day, counts[day]) for day in before]

    holds()
