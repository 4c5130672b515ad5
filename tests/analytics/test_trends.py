"""The forecast of volume."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from statistics import fmean

import pytest

from analytics.integrations import Trend, trend_of
from analytics.trends import MIN_DAYS, WITHIN, forecast, weekday_factors

MONDAY = date(2026, 1, 5)
WEEK = [100, 120, 110, 105, 95, 20, 10]


def test_a_weekly_pattern_goes_on() -> None:
    found = forecast(MONDAY, WEEK * 8, 14)
    assert [day.day for day in found] == [MONDAY + timedelta(days=56 + n) for n in range(14)]
    for expected, day in zip(WEEK * 2, found, strict=True):
        assert day.value == pytest.approx(expected, rel=0.02)
        assert day.low <= day.value <= day.high


def test_growth_goes_on_and_decline_ends_at_nothing() -> None:
    growing = [100 + 5 * n for n in range(28)]
    assert forecast(MONDAY, growing, 1)[0].value == pytest.approx(240, rel=0.05)
    declining = [max(0, 280 - 10 * n) for n in range(28)]
    assert [day.value for day in forecast(MONDAY, declining, 90)][-1] == 0
    assert all(day.low >= 0 for day in forecast(MONDAY, declining, 90))


def test_the_interval_has_about_as_many_days_as_it_says() -> None:
    random = Random(5)
    inside = []
    for _ in range(60):
        days = [max(0, round(random.gauss(value, value / 10))) for value in WEEK * 9]
        for found, seen in zip(forecast(MONDAY, days[:56], 7), days[56:], strict=True):
            inside.append(found.low <= seen <= found.high)
    assert WITHIN - 0.15 < fmean(inside) <= 1


def test_days_before_the_first_count_do_not_count() -> None:
    late = forecast(MONDAY, [0] * 28 + WEEK * 4, 1)
    assert late[0].value == pytest.approx(forecast(MONDAY, WEEK * 4, 1)[0].value)


@pytest.mark.parametrize("counts", [[], [0] * 60, [5] * (MIN_DAYS - 1)])
def test_too_little_says_nothing(counts: list[int]) -> None:
    assert forecast(MONDAY, counts, 7) == []


def test_with_less_than_three_weeks_there_are_no_weekdays() -> None:
    assert weekday_factors(MONDAY, WEEK * 2) == [1.0] * 7
    assert weekday_factors(MONDAY, WEEK * 4)[6] == pytest.approx(10 / 80, rel=0.01)


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [(10, 0, "new"), (0, 0, "steady"), (105, 100, "steady"), (120, 100, "rising"),
     (0, 100, "falling"), (5, None, "new")],
)  # fmt: skip
def test_trend_against_the_period_before(now: int, before: int | None, expected: str) -> None:
    assert trend_of(now, before) is Trend(expected)
