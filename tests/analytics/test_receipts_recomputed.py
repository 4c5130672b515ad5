"""Figures of receipts are what the calls themselves say."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.query import Dimension, Granularity, Query, answer
from tests.analytics.recomputing import (
    OF_CALLS,
    QUICK,
    RECEIPT_MEASURES,
    SPAN,
    START,
    ZONES,
    calls,
    check,
    forget,
    make_calls,
    make_sources,
)

pytestmark = pytest.mark.django_db

TOLD_APART = st.lists(
    st.sampled_from(
        [Dimension.ACCOUNT, Dimension.SOURCE, Dimension.VERDICT, Dimension.CAUSE,
         Dimension.EVENT_TYPE]
    ),
    unique=True, max_size=4,
)  # fmt: skip


def test_answers_are_what_the_calls_say() -> None:
    sources = make_sources()
    accounts = [sources[0].account_id, sources[2].account_id]
    filters = [
        {},
        {Dimension.VERDICT: ["refused", "duplicate"]},
        {Dimension.CAUSE: ["signature_mismatch", "timestamp_too_old"]},
        {Dimension.CAUSE: ["succeeded"], Dimension.SOURCE: [str(sources[0].pk)]},
        {Dimension.SOURCE: [str(source.pk) for source in sources[1:]]},
        {Dimension.EVENT_TYPE: ["order.paid", "(none)"]},
        {Dimension.EVENT_TYPE: ["Заказ оплачен"], Dimension.SOURCE: [str(sources[0].pk)]},
    ]

    @settings(max_examples=40, deadline=None, database=None, phases=QUICK)
    @given(
        history=calls(),
        dimensions=TOLD_APART,
        granularity=st.sampled_from([None, *Granularity]),
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
        happened = make_calls(sources, history)
        query = Query(
            account_ids=account_ids, measures=RECEIPT_MEASURES, dimensions=dimensions,
            granularity=granularity, filters=of, since=START + timedelta(minutes=since),
            until=START + timedelta(minutes=since + length), time_zone=zone,
        )  # fmt: skip
        found = answer(query)
        assert found.is_exact
        check(query, found, happened, OF_CALLS)

    holds()
