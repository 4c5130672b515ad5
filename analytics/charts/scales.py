"""Where values and moments stand on a chart. Pure; shared by the page, the mail and the PDF."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, floor, log10
from typing import Final

from analytics.measures import Unit, Value
from analytics.shown import Figures

TICKS: Final = 4
DAYS_FROM: Final = timedelta(days=2)  # longer ones are marked by their days
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


def top_of(values: Sequence[Value], unit: Unit) -> float:
    """The top of the axis: a round number that no value is above."""
    highest = max((value for value in values if value is not None), default=0)
    if unit == "rate":
        return 1.0
    if highest <= 0:
        return 1.0
    if unit == "count" and highest < TICKS:
        return float(ceil(highest))
    step = highest / TICKS
    magnitude: float = 10.0 ** floor(log10(step))
    for nice in _NICE:
        if nice * magnitude * TICKS >= highest and (unit != "count" or nice * magnitude >= 1):
            candidate = nice * magnitude
            if unit != "count" or candidate == int(candidate):
                return candidate * TICKS
    return 10.0 * magnitude * TICKS


def bottom_of(values: Sequence[Value], unit: Unit) -> float:
    """The foot of the axis: nothing, or where rates are all high, what lets them be told apart."""
    known = [value for value in values if value is not None]
    if unit == "rate" and known:
        lowest = min(known)
        for foot in (0.99, 0.95, 0.9, 0.8, 0.5):
            if lowest >= foot:
                return foot
    return 0.0


def ticks(bottom: float, top: float, unit: Unit) -> list[float]:
    """The values that lines are drawn at, from below."""
    count = TICKS
    if unit == "count" and top < TICKS:
        count = int(top)
    return [bottom + (top - bottom) * index / count for index in range(count + 1)]


def part(value: float, bottom: float, top: float) -> float:
    """How far up a value stands, from 0 to 1."""
    return min(1.0, max(0.0, (value - bottom) / (top - bottom)))


def time_labels(figures: Figures, most: int = 7) -> list[tuple[int, str]]:
    """Some of the steps by their index, with what the axis says there, evenly apart.

    Of hours of several days those are marked at which a day begins.
    """
    steps = figures.steps
    picked = list(range(len(steps)))
    if figures.step == "hour" and figures.period.length > DAYS_FROM:
        picked = [index for index in picked if figures.period.local(steps[index]).hour == 0]
    every = ceil(len(picked) / most) or 1
    return [(index, _short(figures, steps[index])) for index in picked[::every]]


def _short(figures: Figures, at: datetime) -> str:
    local = figures.period.local(at)
    match figures.step:
        case "minute":
            return f"{local:%H:%M}"
        case "hour" if figures.period.length <= DAYS_FROM:
            return f"{local:%H:%M}"
        case "month":
            return f"{local:%b %Y}"
    return f"{local.day} {local:%b}"
