"""Figures by metric and labels, in the form that they are kept in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from monitoring.metrics.catalogue import Metric

# By a metric's name: by its labels' values, as JSON text, a number; of a histogram
# `[count in each bucket, …, count above all, sum]`.
Figures = dict[str, dict[str, Any]]


def add(figures: Figures, metric: Metric, count: float, *labels: str) -> None:
    """Add to a number; one that is not there yet is 0."""
    numbers = figures.setdefault(metric.name, {})
    key = _key(metric, labels)
    numbers[key] = numbers.get(key, 0) + count


def observe(
    figures: Figures, metric: Metric, bucket: int, count: int, total: float, *labels: str
) -> None:
    """Add observations that fall into one bucket, and their sum, to a histogram."""
    rows = figures.setdefault(metric.name, {})
    key = _key(metric, labels)
    row = rows.get(key)
    if row is None or len(row) != len(metric.buckets) + 2:  # the buckets are others now
        row = rows[key] = [0] * (len(metric.buckets) + 1) + [0.0]
    row[bucket] += count
    row[-1] += total


def labelled(figures: Mapping[str, Any], metric: Metric) -> list[tuple[list[str], Any]]:
    """What is kept of a metric: label values and figure, in the order of the labels."""
    rows = figures.get(metric.name, {})
    return [(orjson.loads(key), rows[key]) for key in sorted(rows)]


def _key(metric: Metric, labels: tuple[str, ...]) -> str:
    assert len(labels) == len(metric.labels), metric.name  # noqa: S101 - ours alone
    return orjson.dumps(labels).decode()
