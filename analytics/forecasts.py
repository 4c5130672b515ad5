"""The volume of the days that were, and what is expected of those to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import dropwhile
from typing import Any, Final

from analytics.buckets import zone_of
from analytics.measures import describe
from analytics.query import Answer, Granularity, Measure, Query, answer
from analytics.shown import Figures, Line
from analytics.spans import Period
from analytics.trends import Expected, forecast
from analytics.widgets import NO_FORECAST, WidgetSpec
from webhooks_project.lib import clock

SHOWN: Final = ("expected", "expected_low", "expected_high")


@dataclass(frozen=True, slots=True)
class Volume:
    """A measure of each whole local day up to yesterday, and of the days from today on."""

    history: Sequence[tuple[date, int]]
    expected: Sequence[Expected]


def volume_of(measure: Measure, *, days: int, ahead: int, time_zone: str, **of: Any) -> Volume:
    """So many days back, and so many ahead."""
    today = clock.now().astimezone(zone_of(time_zone)).replace(
        hour=0, minute=0, second=0, microsecond=0
    )  # fmt: skip
    found = answer(
        Query(
            measures=[measure],
            granularity=Granularity.DAY,
            time_zone=time_zone,
            since=today - timedelta(days=days),
            until=today,
            **of,
        )
    )
    return _volume(found, measure, ahead)


def forecast_figures(spec: WidgetSpec, period: Period, answered: Answer, ahead: int) -> Figures:
    """The widget of a forecast: the days from the first on which something was counted, and behind
    them those to come with their bounds; in words why there are none of these."""
    name = spec.measures[0]
    volume = _volume(answered, Measure(name), ahead)
    shown = (name, *SHOWN) if volume.expected else (name,)
    nothing = dict.fromkeys(shown)
    counted = list(dropwhile(lambda item: not item[1], volume.history))
    lines = [Line((), nothing | {name: count}, at=_start(day, period)) for day, count in counted]
    lines += [
        Line(
            (),
            nothing | dict(zip(SHOWN, (item.value, item.low, item.high), strict=True)),
            at=_start(item.day, period),
        )
        for item in volume.expected
    ]
    return Figures(
        spec,
        period,
        "day",
        tuple(lines),
        tuple(line.at for line in lines if line.at),
        measures=tuple(map(describe, shown)),
        note="" if volume.expected else f"{NO_FORECAST}; so far there {_days(len(counted))}.",
    )


def _days(count: int) -> str:
    return "is one" if count == 1 else f"are {count}"


def _volume(answered: Answer, measure: Measure, ahead: int) -> Volume:
    history = [(row.at.date(), int(row.values[measure] or 0)) for row in answered.rows if row.at]
    counts = [count for _, count in history]
    return Volume(history, forecast(history[0][0], counts, ahead) if history else [])


def _start(day: date, period: Period) -> datetime:
    return datetime.combine(day, time(), period.zone).astimezone(UTC)
