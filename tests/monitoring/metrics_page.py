"""What a scraper gets, read as Prometheus reads it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from monitoring.metrics import readings
from monitoring.metrics.counting import SETTLED_AFTER
from monitoring.models import MetricsReading
from webhooks_project.lib import clock

TOKEN = "a-scraper's-token"
CLIENT = Client()


@dataclass(frozen=True)
class Page:
    """Samples by their names and labels."""

    text: str
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]]

    def get(self, name: str, **labels: str) -> float | None:
        return self.samples.get(name, {}).get(tuple(sorted(labels.items())))

    def all(self, name: str) -> dict[tuple[str, ...], float]:
        """Samples of a name by the values of their labels, in the order of the labels' names."""
        return {
            tuple(value for _, value in labels): number
            for labels, number in self.samples.get(name, {}).items()
        }


def get(token: str = TOKEN, **headers: str) -> Any:
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return CLIENT.get("/metrics", headers=headers)


def parse(text: str) -> Page:
    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            rows = samples.setdefault(sample.name, {})
            assert labels not in rows, f"{sample.name}{labels} twice"
            rows[labels] = sample.value
    return Page(text, samples)


def scrape(*, fresh: bool = True) -> Page:
    """What is scraped now; a fresh one counts also what was written this moment."""
    if fresh:
        count_all()
    response = get()
    assert response.status_code == 200
    return parse(response.content.decode())


def count_all() -> None:
    """Count all that is there now, as a reading does once it is settled."""
    started = _milliseconds()
    while _milliseconds() == started:  # a key tells its millisecond
        pass
    later = clock.now() + SETTLED_AFTER
    readings._first_reading()
    while readings._count(later, readings.conf.metrics_accounts()):
        pass
    MetricsReading.objects.update(taken_at=None)


def _milliseconds() -> int:
    return int(clock.now().timestamp() * 1000)


def begin() -> None:
    """The first reading: from here on rows are counted."""
    readings.current_reading()
    past = clock.now() - timedelta(minutes=2)
    marks = MetricsReading.objects.get().marks
    MetricsReading.objects.update(marks=marks | {"rows": past.isoformat()})
