"""What measures and dimensions are called, and how their values are written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from analytics.query import Dimension, Measure

Unit = Literal["count", "rate", "ms", "bytes", "ratio"]
Value = float | int | None
NOTHING: Final = "–"  # where nothing was counted

# More of it is better, or worse; of the others neither.
_BETTER: Final = {
    "succeeded",
    "success_rate",
    "first_success_rate",
    "delivery_success_rate",
    "accepted",
    "accepted_rate",
}
_WORSE: Final = {"failed", "exhausted", "refused", "retries_per_delivery"}
_LABELS: Final = {
    "success_rate": "Success rate",
    "first_success_rate": "Success at the first attempt",
    "delivery_success_rate": "Deliveries that succeeded in the end",
    "exhausted": "Deliveries given up",
    "first_attempts": "First attempts",
    "first_succeeded": "Succeeded at the first attempt",
    "accepted_rate": "Accepted, of all",
    "retries_per_delivery": "Retries per delivery",
    "request_bytes": "Bytes sent",
    "response_bytes": "Bytes of answers",
    "receipt_bytes": "Bytes received",
    "total_mean_ms": "Whole attempt, mean",
    "total_max_ms": "Whole attempt, longest",
    "expected_low": "at least",
    "expected_high": "at most",
    "target_rate": "Target",
    "attained_rate": "Attained",
    "budget_left_rate": "Error budget left",
    "burn_hour": "Burn, 1 hour",
    "burn_day": "Burn, 1 day",
    "known_days": "Days that it has been there",
}
_TIMES: Final = {
    "queue_wait": "Wait in the queue",
    "response": "Response",
    "total": "Whole attempt",
}
DIMENSIONS: Final = {
    "account": "Account",
    "source": "Source",
    "subscription": "Subscription",
    "event_type": "Event type",
    "cause": "Cause",
    "status_class": "Status class",
    "verdict": "Verdict",
}
# Whose keys are ids of rows.
NAMED_BY_ROW: Final = ("account", "source", "subscription")
_SIZES: Final = ("B", "kB", "MB", "GB", "TB", "PB")


@dataclass(frozen=True, slots=True)
class Described:
    """A measure: its name for people, its unit, whether parts of it add up to the whole, and
    whether more of it is good (1), bad (-1) or neither."""

    name: str
    label: str
    unit: Unit
    adds_up: bool
    better: int


@cache
def describe(measure: str) -> Described:
    """What is known of a measure."""
    unit: Unit = "count"
    if measure.endswith("_ms"):
        unit = "ms"
    elif measure.endswith("_rate"):
        unit = "rate"
    elif measure.endswith("_bytes"):
        unit = "bytes"
    elif measure.endswith("_per_delivery") or measure.startswith("burn_"):
        unit = "ratio"
    better = 1 if measure in _BETTER else -1 if measure in _WORSE or unit == "ms" else 0
    return Described(measure, _label(measure), unit, unit in ("count", "bytes"), better)


def _label(measure: str) -> str:
    if measure in _LABELS:
        return _LABELS[measure]
    what, _, percentile = measure.removesuffix("_ms").rpartition("_")
    if what in _TIMES:
        return f"{_TIMES[what]}, {percentile}"
    return measure.replace("_", " ").capitalize()


def measure_choices() -> list[tuple[str, str]]:
    return [(measure.value, describe(measure.value).label) for measure in Measure]


def dimension_choices() -> list[tuple[str, str]]:
    return [(item.value, dimension_label(item.value)) for item in Dimension]


def dimension_label(name: str) -> str:
    return DIMENSIONS.get(name) or name.replace("_", " ").capitalize()


def written(value: Value, unit: Unit) -> str:
    """The value for people: `1,234`, `98.7 %`, `12 ms`, `1.2 MB`."""
    if value is None:
        return NOTHING
    if unit == "rate":
        percent = 100 * value
        # Not a failure in a million shall look like none.
        if not 99 < percent < 100:
            return f"{percent:,.1f}".removesuffix(".0") + " %"
        text = f"{percent:.3f}" if percent > 99.99 else f"{percent:.2f}"
        return "99.999 %" if text == "100.000" else f"{text.rstrip('0').rstrip('.')} %"
    if unit == "ms":
        return f"{value / 1000:,.2f} s" if value >= 1000 else f"{value:.0f} ms"
    if unit == "bytes":
        return _size(value)
    if unit == "ratio":
        return f"{value:.2f}"
    return f"{value:,.0f}"


def _size(value: float) -> str:
    index = 0
    while value >= 1000 and index < len(_SIZES) - 1:
        value /= 1000
        index += 1
    return f"{value:.0f} B" if not index else f"{value:.1f} {_SIZES[index]}"


def change_of(value: Value, before: Value, unit: Unit) -> float | None:
    """How much more it is than before: in percentage points of a rate, else as a part of what it
    was (0.5 is half as much again). None where one of them is unknown, or it was nothing."""
    if value is None or before is None:
        return None
    if unit == "rate":
        return value - before
    return (value - before) / before if before else None


def change_written(change: float | None, unit: Unit) -> str:
    if change is None:
        return NOTHING
    return f"{100 * change:+,.1f} {'points' if unit == 'rate' else '%'}"
