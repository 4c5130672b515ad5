"""Answers are what asking the attempts themselves gives."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import answering, cells
from analytics.counting import count_marked
from analytics.models import Horizon, ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from analytics.query import (
    Answer,
    Dimension,
    Granularity,
    Measure,
    Query,
    Unanswerable,
    answer,
    answers,
)
from tests.analytics.recomputing import (
    DIMENSIONS,
    HISTORIES,
    MEASURES,
    QUICK,
    SPAN,
    START,
    ZONES,
    check,
    forget,
    make_deliveries,
    make_history,
)
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_event,
    make_receipt,
    make_source,
)

pytestmark = pytest.mark.django_db


def test_answers_are_what_the_attempts_say() -> None:
    deliveries = make_deliveries()
    accounts = [deliveries[0].account_id, deliveries[3].account_id]
    filters = [
        {},
        {Dimension.CAUSE: ["succeeded"]},
        {Dimension.STATUS_CLASS: ["none", "5xx"], Dimension.EVENT_TYPE: ["invoice.void"]},
        {Dimension.SUBSCRIPTION: [str(deliveries[0].subscription_id)]},
    ]

    @settings(max_examples=30, deadline=None, database=None, phases=QUICK)
    @given(
        history=HISTORIES,
        dimensions=DIMENSIONS,
        granularity=st.sampled_from([None, *list(Granularity)]),
        since=st.integers(0, SPAN),
        length=st.integers(1, SPAN),
        zone=st.sampled_from(ZONES),
        account_ids=st.sampled_from([None, accounts[:1], accounts]),
        of=st.sampled_from(filters),
    )
    def holds(
        history: Any,
        dimensions: Any,
        granularity: Any,
        since: int,
        length: int,
        zone: str,
        account_ids: Any,
        of: Any,
    ) -> None:
        forget()
        attempts = make_history(deliveries, history)
        query = Query(
            account_ids=account_ids, measures=MEASURES, dimensions=dimensions,
            granularity=granularity, filters=of, since=START + timedelta(minutes=since),
            until=START + timedelta(minutes=since + length), time_zone=zone,
        )  # fmt: skip
        found = answer(query)
        assert found.is_exact
        check(query, found, attempts)

    holds()


# An offset that reads as the other way round, and names that are abbreviations to PostgreSQL.
@pytest.mark.parametrize("zone", ["Etc/GMT+10", "Etc/GMT-14", "CET", "EET", "Etc/UTC"])
@pytest.mark.parametrize("granularity", [Granularity.DAY, Granularity.HOUR_OF_WEEK])
def test_figures_are_by_the_clocks_of_each_time_zone(zone: str, granularity: Granularity) -> None:
    deliveries = make_deliveries()
    made = make_history(
        deliveries, [(0, hour * 3600 + 60, "", float(hour + 1)) for hour in range(0, 96, 5)]
    )
    query = Query(
        measures=MEASURES, granularity=granularity, since=START,
        until=START + timedelta(days=4), time_zone=zone,
    )  # fmt: skip
    found = answer(query)
    check(query, found, made)
    assert sum(row.values[Measure.ATTEMPTS] or 0 for row in found.rows) == 20


def test_queries_that_are_answered_together_are_answered_as_each_by_itself(
    django_assert_num_queries: Any,
) -> None:
    deliveries = make_deliveries()
    day = 86_400
    make_history(
        deliveries,
        [(0, 10, "", 5.0), (0, day + 20, "dns", 7.0), (0, day + 9000, "", 50.0),
         (1, day + 30, "", 90.0), (2, day + 10, "status_5xx", 70.0), (3, 40, "", 5.0)],
    )  # fmt: skip
    make_receipt(make_source(deliveries[0].account), received_at=START + timedelta(days=1))
    count_marked()
    since = START + timedelta(days=1)
    M, D = Measure, Dimension
    of: dict[str, Any] = {"since": since, "until": since + timedelta(days=1)}
    by: dict[str, Any] = {"dimensions": [D.SUBSCRIPTION], **of}
    queries = [
        Query(measures=[M.ATTEMPTS], compare=True, **of),
        Query(measures=[M.RECEIPTS], **of),
        Query(measures=[M.TOTAL_P95_MS], **of),
        Query(measures=[M.FAILED, M.ATTEMPTS], order_by=M.FAILED, limit=1, **by),
        Query(measures=[M.TOTAL_P95_MS], order_by=M.TOTAL_P95_MS, limit=2, **by),
        Query(measures=[M.ATTEMPTS], order_by=M.FAILED, limit=2, **by),  # not measured
        Query(measures=[M.ATTEMPTS], compare=True, limit=5, **by),
        Query(measures=[M.FAILED], dimensions=[D.CAUSE], **of),
        Query(measures=[M.REFUSED], dimensions=[D.CAUSE], **of),
        Query(measures=[M.FAILED], granularity=Granularity.HOUR, **of),
        Query(measures=[M.TOTAL_P50_MS], granularity=Granularity.HOUR, **of),
        Query(measures=[M.ATTEMPTS], granularity=Granularity.HOUR, limit=1, **by),
        Query(measures=[M.TOTAL_P50_MS], granularity=Granularity.HOUR, limit=2, **by),
        Query(measures=[M.ATTEMPTS], time_zone="Moon", **of),
    ]

    def by_itself(query: Query) -> Answer | str:
        try:
            return answer(query)
        except Unanswerable as error:
            return error.code

    alone = [by_itself(query) for query in queries]
    assert [text for text in alone if isinstance(text, str)] == [
        "order_not_measured", "unknown_time_zone",
    ]  # fmt: skip
    together = [
        found.code if isinstance(found, Unanswerable) else found for found in answers(queries)
    ]
    assert together == alone
    # The horizons, and of a day of UTC the attempts and the receipts; the sketches by themselves,
    # or where the database joins them how it is to go about it.
    with django_assert_num_queries(4):
        answers([replace(query, compare=False) for query in queries[:3]])


@time_machine.travel(START + timedelta(days=6), tick=False)
def test_compaction_keeps_every_total() -> None:
    """Whole days of UTC, and whole hours while those are kept, are answered as before."""
    from analytics import compaction

    deliveries = make_deliveries()

    @settings(max_examples=8, deadline=None, database=None, phases=QUICK)
    @given(
        history=HISTORIES,
        dimensions=DIMENSIONS,
        hours=st.integers(0, 4 * 24),
        days=st.integers(0, 4),
    )
    def holds(history: Any, dimensions: Any, hours: int, days: int) -> None:
        forget()
        attempts = make_history(deliveries, history)
        minutes_since = START + timedelta(hours=hours)
        hours_since = START + timedelta(days=min(days, hours // 24))
        for is_wide in (False, True):
            for grain, since in ((Grain.MINUTE, minutes_since), (Grain.HOUR, hours_since)):
                Horizon.objects.create(grain=grain, is_wide=is_wide, since=since)
        compaction.compact_rollups()
        assert not Rollup.objects.filter(grain=Grain.MINUTE, at__lt=minutes_since).exists()
        assert not Rollup.objects.filter(grain=Grain.HOUR, at__lt=hours_since).exists()
        whole = Query(measures=MEASURES, dimensions=dimensions, since=START,
                      until=START + timedelta(days=6))  # fmt: skip
        for query in (
            whole,
            replace(whole, granularity=Granularity.DAY),
            replace(whole, since=hours_since, granularity=Granularity.HOUR),
            replace(whole, since=hours_since, granularity=Granularity.DAY,
                    time_zone="Europe/Berlin"),
            replace(whole, since=minutes_since, granularity=Granularity.DAY,
                    time_zone="Asia/Kathmandu"),
        ):  # fmt: skip
            found = answer(query)
            assert found.is_exact
            check(query, found, attempts)

    holds()


def test_where_only_days_are_left_an_hour_goes_with_its_day_and_the_answer_says_so() -> None:
    deliveries = make_deliveries()
    make_history(deliveries, [(0, 23 * 3600, "", 5.0), (0, 25 * 3600, "", 5.0)])
    Horizon.objects.create(grain=Grain.MINUTE, is_wide=False, since=START + timedelta(days=3))
    Horizon.objects.create(grain=Grain.HOUR, is_wide=False, since=START + timedelta(days=3))
    query = Query(
        measures=[Measure.ATTEMPTS], dimensions=[Dimension.SUBSCRIPTION],
        granularity=Granularity.DAY, since=START, until=START + timedelta(days=2),
        time_zone="Europe/Berlin",
    )  # fmt: skip
    found = answer(query)
    assert not found.is_exact
    assert [(f"{row.at:%d}", row.values[Measure.ATTEMPTS]) for row in found.rows] == [
        ("23", 1), ("24", 1),
    ]  # fmt: skip
    assert answer(replace(query, time_zone="UTC")).is_exact


@pytest.mark.parametrize(
    ("granularity", "compacted"),
    [
        (Granularity.HOUR, True), (Granularity.HOUR_OF_WEEK, True), (Granularity.MINUTE, True),
        (Granularity.DAY, False), (Granularity.WEEK, False), (None, False),
    ],
)  # fmt: skip
def test_a_whole_day_is_not_shown_as_its_first_hour(
    granularity: Granularity | None, compacted: bool
) -> None:
    deliveries = make_deliveries()
    make_history(deliveries, [(0, 23 * 3600, "", 5.0)])
    Horizon.objects.create(grain=Grain.MINUTE, is_wide=False, since=START + timedelta(days=3))
    Horizon.objects.create(grain=Grain.HOUR, is_wide=False, since=START + timedelta(days=3))
    query = Query(
        measures=[Measure.ATTEMPTS], dimensions=[Dimension.SUBSCRIPTION],
        granularity=granularity, since=START, until=START + timedelta(days=4),
    )  # fmt: skip
    if compacted:
        with pytest.raises(Unanswerable) as refused:
            answer(query)
        assert refused.value.code == "steps_not_kept"
    else:
        assert sum(row.values[Measure.ATTEMPTS] or 0 for row in answer(query).rows) == 1
    # Where nothing was counted in those days nothing is wrong.
    other = replace(query, filters={Dimension.SUBSCRIPTION: [str(deliveries[2].subscription_id)]})
    assert answer(other).rows == []


def test_no_more_is_held_than_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    deliveries = make_deliveries()
    make_history(deliveries, [(n % 4, 3600 * n, "", 5.0) for n in range(12)])
    monkeypatch.setattr(answering, "MAX_ROWS", 11)
    monkeypatch.setattr(cells, "MAX_ROWS", 11)
    monkeypatch.setattr(cells, "MAX_CELLS", 11)
    query = Query(
        measures=[Measure.ATTEMPTS], dimensions=[Dimension.SUBSCRIPTION],
        granularity=Granularity.HOUR, since=START, until=START + timedelta(days=1),
    )  # fmt: skip
    for refused in (
        query,
        replace(query, dimensions=[*query.dimensions, Dimension.CAUSE], limit=2),
    ):
        with pytest.raises(Unanswerable) as error:
            answer(refused)
        assert error.value.code == "too_many_rows"
    assert len(answer(replace(query, limit=2)).rows) <= 11


# --- rows, limits, comparison ---------------------------------------------------------------------


def test_without_dimensions_every_period_has_its_row() -> None:
    deliveries = make_deliveries()
    make_history(deliveries, [(0, 3600, "", 5.0)])
    query = Query(
        measures=[Measure.ATTEMPTS, Measure.SUCCESS_RATE, Measure.TOTAL_P95_MS],
        granularity=Granularity.HOUR, since=START, until=START + timedelta(hours=3),
    )  # fmt: skip
    values = [row.values for row in answer(query).rows]
    assert [found[Measure.ATTEMPTS] for found in values] == [0, 1, 0]
    assert [found[Measure.SUCCESS_RATE] for found in values] == [None, 1.0, None]
    assert values[0][Measure.TOTAL_P95_MS] is None
    by_week = answer(replace(query, granularity=Granularity.HOUR_OF_WEEK)).rows
    assert [row.hour_of_week for row in by_week] == list(range(168))
    assert sum(row.values[Measure.ATTEMPTS] for row in by_week) == 1


def test_compares_with_the_period_before() -> None:
    deliveries = make_deliveries()
    day = 86_400
    make_history(deliveries, [(0, 10, "", 5.0), (0, 20, "dns", 5.0), (0, day + 10, "", 5.0),
                              (3, 30, "", 5.0)])  # fmt: skip
    since = START + timedelta(days=1)
    query = Query(measures=[Measure.ATTEMPTS, Measure.FAILED], dimensions=[Dimension.ACCOUNT],
                  since=since, until=since + timedelta(days=1), compare=True)  # fmt: skip
    found = answer(query)
    assert found.since_before == START
    by_account = {row.keys[Dimension.ACCOUNT]: (row.values, row.before) for row in found.rows}
    first, other = (str(deliveries[at].account_id) for at in (0, 3))
    assert by_account[first] == (
        {Measure.ATTEMPTS: 1, Measure.FAILED: 0}, {Measure.ATTEMPTS: 2, Measure.FAILED: 1},
    )  # fmt: skip
    # One that has come to a stop is there too.
    assert by_account[other][0] == {Measure.ATTEMPTS: 0, Measure.FAILED: 0}
    hourly = answer(replace(query, dimensions=[], granularity=Granularity.HOUR)).rows
    assert (hourly[0].values[Measure.ATTEMPTS], hourly[0].before) == (
        1, {Measure.ATTEMPTS: 3, Measure.FAILED: 1},
    )  # fmt: skip


def test_a_limit_leaves_the_keys_with_the_most_in_all_their_periods() -> None:
    deliveries = make_deliveries()
    make_history(
        deliveries,
        [(0, 10, "", 5.0), (0, 7200, "", 5.0), (2, 20, "", 50.0), (3, 30, "", 9.0)],
    )
    query = Query(measures=[Measure.ATTEMPTS, Measure.TOTAL_P95_MS],
                  dimensions=[Dimension.SUBSCRIPTION], since=START,
                  until=START + timedelta(days=1), limit=1)  # fmt: skip
    [row] = answer(query).rows
    assert row.keys[Dimension.SUBSCRIPTION] == str(deliveries[0].subscription_id)
    assert len(answer(replace(query, granularity=Granularity.HOUR)).rows) == 2
    [row] = answer(replace(query, order_by=Measure.TOTAL_P95_MS)).rows
    assert row.keys[Dimension.SUBSCRIPTION] == str(deliveries[2].subscription_id)
    slowest_first = answer(replace(query, order_by=Measure.TOTAL_P95_MS, limit=None)).rows
    found = [row.values[Measure.TOTAL_P95_MS] for row in slowest_first]
    assert found == sorted(found, reverse=True)


def test_attempts_and_receipts_stand_in_one_row() -> None:
    account = make_account()
    make_attempt(make_delivery(make_event(account)), started_at=START)
    make_receipt(make_source(account), body=b"123", received_at=START)
    make_receipt(make_source(account), status="refused", cause="rate_limited", received_at=START)
    count_marked()
    query = Query(
        account_ids=[account.pk],
        measures=[Measure.ATTEMPTS, Measure.RECEIPTS, Measure.REFUSED, Measure.ACCEPTED_RATE],
        dimensions=[Dimension.ACCOUNT], since=START, until=START + timedelta(days=1),
    )  # fmt: skip
    [row] = answer(query).rows
    assert list(row.values.values()) == [1, 2, 1, 0.5]
    by_cause = answer(replace(query, dimensions=[Dimension.CAUSE], measures=[Measure.REFUSED]))
    assert {row.keys[Dimension.CAUSE]: row.values[Measure.REFUSED] for row in by_cause.rows} == {
        "rate_limited": 1, "succeeded": 0,
    }  # fmt: skip


def test_no_account_sees_anothers() -> None:
    deliveries = make_deliveries()
    make_history(deliveries, [(0, 10, "", 5.0)])
    other = deliveries[3].account_id
    query = Query(
        account_ids=[other],
        measures=[Measure.ATTEMPTS],
        since=START,
        until=START + timedelta(days=1),
        filters={Dimension.SUBSCRIPTION: [str(deliveries[0].subscription_id)]},
    )
    assert [row.values for row in answer(query).rows] == [{Measure.ATTEMPTS: 0}]
    assert answer(replace(query, filters={}, dimensions=[Dimension.SUBSCRIPTION])).rows == []
    assert [row.values[Measure.ATTEMPTS] for row in answer(
        replace(query, filters={}, account_ids=[])).rows] == [0]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("no_measure", {"measures": []}),
        ("empty_period", {"until": START}),
        ("order_not_measured", {"order_by": Measure.FAILED}),
        ("limit_not_acceptable", {"limit": 0}),
        ("measure_without_dimension", {"dimensions": [Dimension.VERDICT]}),
        ("measure_without_dimension", {"filters": {Dimension.VERDICT: ["accepted"]}}),
        ("measure_without_dimension", {"measures": [Measure.RECEIPTS],
                                       "dimensions": [Dimension.SUBSCRIPTION]}),
        ("filter_not_acceptable", {"filters": {Dimension.SUBSCRIPTION: ["x"]}}),
        ("filter_not_acceptable", {"filters": {Dimension.CAUSE: ["a\0"]}}),
        ("unknown_time_zone", {"time_zone": "Moon"}),
        ("too_many_periods", {"granularity": Granularity.MINUTE,
                              "until": START + timedelta(days=30)}),
    ],
)  # fmt: skip
def test_refuses_what_cannot_be_answered_and_says_why(code: str, changes: dict[str, Any]) -> None:
    query = Query(measures=[Measure.ATTEMPTS], since=START, until=START + timedelta(days=1))
    with pytest.raises(Unanswerable) as refused:
        answer(replace(query, **changes))
    assert refused.value.code == code


def test_refuses_more_rows_than_anybody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.answering.MAX_ROWS", 2)
    query = Query(measures=[Measure.ATTEMPTS], since=START, until=START + timedelta(days=3))
    with pytest.raises(Unanswerable) as refused:
        answer(replace(query, granularity=Granularity.DAY))
    assert refused.value.code == "too_many_rows"
    assert len(answer(query).rows) == 1


def test_a_year_of_days_reads_months_and_few_rows(django_assert_num_queries: Any) -> None:
    """The coarsest scope and grain that answer: one statement for each grain of the edges."""
    account = make_account(slug=f"a-{uuid4().hex[:8]}")
    query = Query(
        account_ids=[account.pk],
        measures=[Measure.ATTEMPTS],
        since=datetime(2025, 11, 1, tzinfo=UTC),
        until=datetime(2026, 11, 1, tzinfo=UTC),
    )
    # The horizons, and the months; before them PostgreSQL is told how to go about it.
    asked = 3 if connection.vendor == "postgresql" else 2
    with django_assert_num_queries(asked) as captured:
        answer(query)
    assert f'"grain" = {int(Grain.MONTH)}' in captured[-1]["sql"]
    assert f'"scope" = {int(Scope.ACCOUNT)}' in captured[-1]["sql"]
    assert ReceiptRollup.objects.count() == 0


def test_of_no_account_nothing_is_counted() -> None:
    deliveries = make_deliveries()
    make_history(deliveries, [(0, 0, "", 10.0)])
    query = Query(account_ids=[], measures=MEASURES, since=START, until=START + timedelta(days=1))
    [row] = answer(query).rows
    assert row.values[Measure.ATTEMPTS] == 0
    assert row.values[Measure.TOTAL_P95_MS] is None
