"""A reading in the formats that Prometheus reads."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from datetime import datetime

import django
from django.db import connection
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from monitoring.metrics import catalogue
from monitoring.metrics.catalogue import METRICS, Metric, Type
from monitoring.metrics.counting import MARK
from monitoring.metrics.figures import Figures, add, labelled
from monitoring.models import MetricsReading
from webhooks_project import __version__


def exposition(reading: MetricsReading, *, accept: str, now: datetime) -> tuple[bytes, str]:
    """The reading in the format that the caller takes, and that format's content type."""
    registry = CollectorRegistry()
    registry.register(_Reading(reading, now))
    try:
        encode, content_type = choose_encoder(accept)
        return encode(registry), content_type
    except (TypeError, ValueError):  # it names a version that is none
        encode, content_type = choose_encoder("")
        return encode(registry), content_type


class _Reading(Collector):
    def __init__(self, reading: MetricsReading, now: datetime) -> None:
        self._figures = {**reading.figures, **reading.totals, **_about(reading, now)}

    def describe(self) -> Sequence[Family]:
        return ()  # so that registering it does not collect

    def collect(self) -> Iterator[Family]:
        for metric in METRICS:
            rows = labelled(self._figures, metric)
            if rows or metric.type is not Type.GAUGE:
                yield _family(metric, rows)


def _family(metric: Metric, rows: Sequence[tuple[list[str], float | list[float]]]) -> Family:
    if metric.type is Type.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, row in rows:
            assert isinstance(row, list)  # noqa: S101 - a histogram's
            histogram.add_metric(labels, _cumulative(metric, row[:-1]), row[-1])
        return histogram
    kind = CounterMetricFamily if metric.type is Type.COUNTER else GaugeMetricFamily
    family = kind(metric.name, metric.help, labels=metric.labels)
    for labels, value in rows:
        assert not isinstance(value, list)  # noqa: S101 - a single number's
        family.add_metric(labels, value)
    return family


def _cumulative(metric: Metric, counts: Sequence[float]) -> list[tuple[str, float]]:
    bounds = [*map(floatToGoString, metric.buckets), "+Inf"]
    total = 0.0
    buckets = []
    for bound, count in zip(bounds, counts, strict=True):
        total += count
        buckets.append((bound, total))
    return buckets


def _about(reading: MetricsReading, now: datetime) -> Figures:
    """What is said of the reading itself and of who gives it out."""
    figures: Figures = {}
    add(figures, catalogue.READING_SECONDS, reading.seconds)
    if reading.taken_at is not None:
        age = max(0.0, (now - reading.taken_at).total_seconds())
        add(figures, catalogue.READING_AGE, age)
    if MARK in reading.marks:
        until = datetime.fromisoformat(reading.marks[MARK]).timestamp()
        add(figures, catalogue.COUNTED_UNTIL, until)
    add(
        figures, catalogue.BUILD_INFO, 1,
        __version__, platform.python_version(), django.__version__, connection.vendor,
    )  # fmt: skip
    return figures
