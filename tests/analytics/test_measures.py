"""How figures are written for people."""

from __future__ import annotations

import pytest

from analytics.measures import change_of, change_written, describe, written
from analytics.query import Measure


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "count", "–"),
        (0, "count", "0"),
        (1234567, "count", "1,234,567"),
        (1.0, "rate", "100 %"),
        (0.0, "rate", "0 %"),
        (0.987, "rate", "98.7 %"),
        (0.9999999, "rate", "99.999 %"),
        (0.99999, "rate", "99.999 %"),
        (0.99995, "rate", "99.995 %"),
        (0.9995, "rate", "99.95 %"),
        (0.999, "rate", "99.9 %"),
        (0.99, "rate", "99 %"),
        (-110.111, "rate", "-11,011.1 %"),
        (0.99951, "rate", "99.95 %"),
        (12.4, "ms", "12 ms"),
        (1234.0, "ms", "1.23 s"),
        (999, "bytes", "999 B"),
        (1_250_000, "bytes", "1.2 MB"),
        (0.126, "ratio", "0.13"),
    ],
)
def test_a_value_is_written_in_its_unit(value: float | None, unit: str, text: str) -> None:
    assert written(value, unit) == text  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "before", "unit", "change", "text"),
    [
        (150, 100, "count", 0.5, "+50.0 %"),
        (50, 100, "count", -0.5, "-50.0 %"),
        (4431, 100, "count", 43.31, "+4,331.0 %"),
        (5, 0, "count", None, "–"),
        (None, 5, "count", None, "–"),
        (5, None, "count", None, "–"),
        (0.875, 0.75, "rate", 0.125, "+12.5 points"),
        (0.5, 0.0, "rate", 0.5, "+50.0 points"),
    ],
)
def test_a_change_is_of_what_it_was_and_of_rates_in_points(
    value: float | None, before: float | None, unit: str, change: float | None, text: str
) -> None:
    assert change_of(value, before, unit) == change  # type: ignore[arg-type]
    assert change_written(change, unit) == text  # type: ignore[arg-type]


def test_every_measure_has_a_name_of_its_own() -> None:
    labels = [describe(measure.value).label for measure in Measure]
    assert len(set(labels)) == len(labels)
    assert all(label[0].isupper() and "_" not in label for label in labels)


@pytest.mark.parametrize(
    ("measure", "unit", "adds_up", "better"),
    [
        ("attempts", "count", True, 0),
        ("failed", "count", True, -1),
        ("success_rate", "rate", False, 1),
        ("response_p95_ms", "ms", False, -1),
        ("request_bytes", "bytes", True, 0),
        ("retries_per_delivery", "ratio", False, -1),
    ],
)
def test_what_is_known_of_a_measure(measure: str, unit: str, adds_up: bool, better: int) -> None:
    described = describe(measure)
    assert (described.unit, described.adds_up, described.better) == (unit, adds_up, better)
