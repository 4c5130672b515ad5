"""Limits of rate."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.rates import RateLimit


@given(
    limit=st.integers(1, 8),
    period=st.sampled_from([1.0, 60.0, 3600.0]),
    gaps=st.lists(st.floats(0, 0.5), max_size=80),
)
def test_no_period_ever_has_more_starts_than_the_limit(
    limit: int, period: float, gaps: list[float]
) -> None:
    rate = RateLimit(limit, period)
    now = 1_700_000_000.0
    starts: list[float] = []
    for gap in gaps:
        now += gap * period
        if rate.available(now):
            rate.note(now)
            starts.append(now)
    for start in starts:
        assert sum(start <= other < start + period for other in starts) <= limit


def test_all_of_it_may_be_used_at_once_and_again_a_little_after_the_period() -> None:
    rate = RateLimit(5, 60.0)
    assert rate.available(1000.0) == 5
    rate.note(1000.0, 5)
    assert (rate.available(1000.0), rate.available(1059.9)) == (0, 0)
    assert rate.next_at(1000.0) == 1061.0
    assert rate.available(1061.0) == 5


def test_goes_on_from_anothers_state() -> None:
    rate, other = RateLimit(5, 60.0), RateLimit(5, 60.0)
    rate.note(1000.0, 2)
    rate.note(1030.0, 2)
    other.restore(rate.state())
    assert other.available(1030.0) == 1
    assert other.available(1061.0) == 3
