"""How volume goes on: a forecast by weekday and trend, with the interval that most days fall into.

Classical decomposition: each weekday's factor is the median of its days' ratios to the mean of the
seven days around them; the trend is the least-squares line through the days freed of that factor;
the interval is the line's prediction interval, times the factor. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from statistics import fmean, linear_regression, median
from typing import Final

MIN_DAYS: Final = 7  # fewer have no trend that is worth a line
SEASONAL_DAYS: Final = 21  # three of each weekday
WITHIN: Final = 0.8  # of the days to come fall into the interval, if all goes on as it did
_DEVIATIONS: Final = 1.2816  # of the normal distribution, for WITHIN
_HALF_WEEK: Final = 3


@dataclass(frozen=True, slots=True)
class Expected:
    """A day to come: what is expected, and the bounds of the interval."""

    day: date
    value: float
    low: float
    high: float


def forecast(first: date, counts: Sequence[int], ahead: int) -> list[Expected]:
    """The `ahead` days after the counted ones, of which `first` is the first.

    Days before the first on which something was counted do not count. Empty where fewer than
    MIN_DAYS are left.
    """
    skipped = next((at for at, count in enumerate(counts) if count), len(counts))
    history = [float(count) for count in counts[skipped:]]
    first += timedelta(days=skipped)
    if len(history) < MIN_DAYS:
        return []
    factors = weekday_factors(first, history)
    xs = [float(at) for at in range(len(history))]
    # A weekday on which nothing ever happens tells nothing of the trend.
    points = [
        (x, count / factors[_weekday(first, at)])
        for at, (x, count) in enumerate(zip(xs, history, strict=True))
        if factors[_weekday(first, at)] > 0
    ]
    slope, intercept = linear_regression([x for x, _ in points], [y for _, y in points])
    spread = _spread(points, slope, intercept)
    mean_x = fmean(x for x, _ in points)
    sum_squares = sum((x - mean_x) ** 2 for x, _ in points)
    found = []
    for at in range(len(history), len(history) + ahead):
        factor = factors[_weekday(first, at)]
        level = intercept + slope * at
        wide = _DEVIATIONS * spread * sqrt(1 + 1 / len(points) + (at - mean_x) ** 2 / sum_squares)
        found.append(
            Expected(
                day=first + timedelta(days=at),
                value=max(0.0, level * factor),
                low=max(0.0, (level - wide) * factor),
                high=max(0.0, (level + wide) * factor),
            )
        )
    return found


def weekday_factors(first: date, counts: Sequence[float]) -> list[float]:
    """What Monday to Sunday have of a mean day; 1 for all where there are too few days to say."""
    if len(counts) < SEASONAL_DAYS:
        return [1.0] * 7
    ratios: list[list[float]] = [[] for _ in range(7)]
    for at in range(_HALF_WEEK, len(counts) - _HALF_WEEK):
        around = fmean(counts[at - _HALF_WEEK : at + _HALF_WEEK + 1])
        if around:
            ratios[_weekday(first, at)].append(counts[at] / around)
    factors = [median(found) if found else 1.0 for found in ratios]
    mean = fmean(factors)
    return [factor / mean for factor in factors] if mean else [1.0] * 7


def _weekday(first: date, at: int) -> int:
    return (first.weekday() + at) % 7


def _spread(points: Sequence[tuple[float, float]], slope: float, intercept: float) -> float:
    """The standard error of the points around the line."""
    squares = sum((y - intercept - slope * x) ** 2 for x, y in points)
    return sqrt(squares / max(1, len(points) - 2))
