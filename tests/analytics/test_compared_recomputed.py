"""What stands beside each row is what happened in the period before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.query import Answer, Dimension, Granularity, Query, answer
from tests.analytics.recomputing import (
    DIMENSIONS,
    MEASURES,
    OF_ATTEMPTS,
    OF_CALLS,
    QUICK,
    RECEIPT_MEASURES,
    Plain,
    calls,
    check_values,
    forget,
    histories,
    local_period,
    make_calls,
    make_deliveries,
    make_history,
    make_sources,
    midnight,
)

pytestmark = pytest.mark.django_db

# In these days clocks change: at Lord Howe on 4 October, in Berlin on the 25th, in Newfoundland on
# 1 November.
FIRST = date(2026, 9, 29)
DAYS = 38
START = datetime(2026, 9, 28, 12, tzinfo=UTC)
MINUTES = (DAYS + 1) * 24 * 60
DST = ("Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC")


def places(query: Query, since: datetime, until: datetime) -> list[Any]:
    """The periods of the clock between the two, in order."""
    if query.granularity is Granularity.HOUR_OF_WEEK:
        return list(range(7 * 24))
    found: dict[Any, None] = {}
    # Whole days are looked through by what clocks differ by at the least.
    step = timedelta(minutes=15 if until - since > timedelta(hours=12) else 1)
    while since < until:
        found[local_period(since, query)] = None
        since += step
    return list(found)


def check_compared(
    query: Query, found: Answer, since_before: datetime, happened: list[Any], plain: Plain
) -> None:
    """A step stands beside that in the same place of the period before."""
    assert found.since_before == since_before
    now = plain.grouped(query, happened, query.since, query.until)
    before = plain.grouped(query, happened, since_before, query.since)
    order = places(query, query.since, query.until)
    beside = dict(zip(order, places(query, since_before, query.since), strict=False))
    seen = set()
    for row in found.rows:
        assert row.before is not None
        place = row.hour_of_week if row.at is None else local_period(row.at, query)
        keys = tuple(row.keys[name] for name in query.dimensions)
        assert (place, keys) not in seen
        seen.add((place, keys))
        check_values(row.values, plain.figures(now.get((place, keys), [])))
        check_values(row.before, plain.figures(before.get((beside.get(place), keys), [])))
    standing = {(place, keys) for place in order for at, keys in before
                if at == beside.get(place, ...)}  # fmt: skip
    if query.dimensions:
        assert seen == {*now, *standing}
    else:
        assert [place for place, _ in sorted(seen, key=lambda cell: order.index(cell[0]))] == order


GIVEN = {
    "granularity": st.sampled_from(
        [None, None, Granularity.HOUR, Granularity.DAY, Granularity.WEEK, Granularity.MONTH,
         Granularity.HOUR_OF_WEEK]
    ),
    "days": st.integers(1, DAYS // 2),
    "later": st.integers(0, DAYS),
    "zone": st.sampled_from(DST),
}  # fmt: skip


def whole_days(days: int, later: int, zone: str) -> tuple[datetime, datetime, datetime]:
    """When the days before begin, those of the period, and when they end."""
    middle = FIRST + timedelta(days=days + later % (DAYS - 2 * days + 1))
    return (
        midnight(middle - timedelta(days=days), zone),
        midnight(middle, zone),
        midnight(middle + timedelta(days=days), zone),
    )


def test_attempts_of_the_days_before_stand_beside() -> None:
    deliveries = make_deliveries()

    @settings(max_examples=40, deadline=None, database=None, phases=QUICK)
    @given(history=histories(minutes=MINUTES, max_size=40), dimensions=DIMENSIONS, **GIVEN)
    def holds(
        history: Any, dimensions: Any, granularity: Any, days: int, later: int, zone: str
    ) -> None:
        forget()
        attempts = make_history(deliveries, history, START)
        before, since, until = whole_days(days, later, zone)
        query = Query(
            measures=MEASURES, dimensions=dimensions, granularity=granularity, since=since,
            until=until, time_zone=zone, compare=True,
        )  # fmt: skip
        check_compared(query, answer(query), before, attempts, OF_ATTEMPTS)

    holds()


def test_receipts_of_the_days_before_stand_beside() -> None:
    sources = make_sources()

    @settings(max_examples=20, deadline=None, database=None, phases=QUICK)
    @given(
        history=calls(minutes=MINUTES),
        dimensions=st.sampled_from(
            [
                (),
                (Dimension.SOURCE,),
                (Dimension.VERDICT, Dimension.CAUSE),
                (Dimension.ACCOUNT,),
                (Dimension.EVENT_TYPE,),
            ]
        ),
        **GIVEN,
    )
    def holds(
        history: Any, dimensions: Any, granularity: Any, days: int, later: int, zone: str
    ) -> None:
        forget()
        happened = make_calls(sources, history, START)
        before, since, until = whole_days(days, later, zone)
        query = Query(
            measures=RECEIPT_MEASURES, dimensions=dimensions, granularity=granularity,
            since=since, until=until, time_zone=zone, compare=True,
        )  # fmt: skip
        check_compared(query, answer(query), before, happened, OF_CALLS)

    holds()


def test_as_many_minutes_before_stand_beside_where_no_clock_changes() -> None:
    deliveries = make_deliveries()

    @settings(max_examples=15, deadline=None, database=None, phases=QUICK)
    @given(
        history=histories(minutes=2_000, max_size=40),
        dimensions=DIMENSIONS,
        granularity=st.sampled_from([None, Granularity.MINUTE, Granularity.HOUR]),
        since=st.integers(0, 2_000),
        length=st.integers(1, 500),
    )
    def holds(history: Any, dimensions: Any, granularity: Any, since: int, length: int) -> None:
        forget()
        attempts = make_history(deliveries, history, START)
        moment = START + timedelta(minutes=since)
        query = Query(
            measures=MEASURES, dimensions=dimensions, granularity=granularity, since=moment,
            until=moment + timedelta(minutes=length), compare=True,
        )  # fmt: skip
        before = moment - timedelta(minutes=length)
        check_compared(query, answer(query), before, attempts, OF_ATTEMPTS)

    holds()
