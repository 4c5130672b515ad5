"""What each measure is made of. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from analytics.questions import Measure, Value
from analytics.sketches import Bins, percentile
from analytics.tallies import ATTEMPTS, RECEIPTS, Series


@dataclass(slots=True)
class Figures:
    """Sums and sketches of one row of an answer."""

    sums: dict[str, int] = field(default_factory=dict)
    sketches: dict[str, Bins] = field(default_factory=dict)

    def add(self, name: str, value: int) -> None:
        if name in MAXIMA:
            self.sums[name] = max(self.sums.get(name, 0), value)
        else:
            self.sums[name] = self.sums.get(name, 0) + value


MAXIMA: Final = frozenset({"total_us_max"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """The sums and sketches that a measure needs, and how it is made of them."""

    series: Series
    make: Callable[[Figures], Value]
    sums: tuple[str, ...] = ()
    sketch: str = ""


def _sum(name: str, series: Series = ATTEMPTS) -> Recipe:
    return Recipe(series, lambda figures: figures.sums.get(name, 0), (name,))


def _ratio(part: str, whole: str, series: Series = ATTEMPTS, scale: float = 1.0) -> Recipe:
    def make(figures: Figures) -> Value:
        count = figures.sums.get(whole, 0)
        return figures.sums.get(part, 0) / count * scale if count else None

    return Recipe(series, make, (part, whole))


def _percentile(sketch: str, percent: int) -> Recipe:
    return Recipe(
        ATTEMPTS, lambda figures: percentile(figures.sketches.get(sketch, {}), percent), (), sketch
    )


def _delivery_success_rate(figures: Figures) -> Value:
    succeeded, exhausted = figures.sums.get("succeeded", 0), figures.sums.get("exhausted", 0)
    return succeeded / (succeeded + exhausted) if succeeded or exhausted else None


def _failed(figures: Figures) -> Value:
    return figures.sums.get("attempts", 0) - figures.sums.get("succeeded", 0)


def _max_ms(figures: Figures) -> Value:
    has_any = figures.sums.get("attempts", 0)
    return figures.sums.get("total_us_max", 0) / 1000 if has_any else None


RECIPES: Final[dict[Measure, Recipe]] = {
    Measure.ATTEMPTS: _sum("attempts"),
    Measure.SUCCEEDED: _sum("succeeded"),
    Measure.FAILED: Recipe(ATTEMPTS, _failed, ("attempts", "succeeded")),
    Measure.SUCCESS_RATE: _ratio("succeeded", "attempts"),
    Measure.FIRST_ATTEMPTS: _sum("first_attempts"),
    Measure.FIRST_SUCCEEDED: _sum("first_succeeded"),
    Measure.FIRST_SUCCESS_RATE: _ratio("first_succeeded", "first_attempts"),
    Measure.RETRIES: _sum("retries"),
    Measure.RETRIES_PER_DELIVERY: _ratio("retries", "first_attempts"),
    Measure.EXHAUSTED: _sum("exhausted"),
    Measure.DELIVERY_SUCCESS_RATE: Recipe(
        ATTEMPTS, _delivery_success_rate, ("succeeded", "exhausted")
    ),
    Measure.REQUEST_BYTES: _sum("request_bytes"),
    Measure.RESPONSE_BYTES: _sum("response_bytes"),
    Measure.QUEUE_WAIT_P50_MS: _percentile("queue_wait", 50),
    Measure.QUEUE_WAIT_P95_MS: _percentile("queue_wait", 95),
    Measure.QUEUE_WAIT_P99_MS: _percentile("queue_wait", 99),
    Measure.RESPONSE_P50_MS: _percentile("response", 50),
    Measure.RESPONSE_P95_MS: _percentile("response", 95),
    Measure.RESPONSE_P99_MS: _percentile("response", 99),
    Measure.TOTAL_P50_MS: _percentile("total", 50),
    Measure.TOTAL_P95_MS: _percentile("total", 95),
    Measure.TOTAL_P99_MS: _percentile("total", 99),
    Measure.TOTAL_MEAN_MS: _ratio("total_us_sum", "attempts", scale=0.001),
    Measure.TOTAL_MAX_MS: Recipe(ATTEMPTS, _max_ms, ("attempts", "total_us_max")),
    Measure.RECEIPTS: _sum("receipts", RECEIPTS),
    Measure.ACCEPTED: _sum("accepted", RECEIPTS),
    Measure.REFUSED: _sum("refused", RECEIPTS),
    Measure.DUPLICATES: _sum("duplicates", RECEIPTS),
    Measure.ACCEPTED_RATE: _ratio("accepted", "receipts", RECEIPTS),
    Measure.RECEIPT_BYTES: _sum("receipt_bytes", RECEIPTS),
}
