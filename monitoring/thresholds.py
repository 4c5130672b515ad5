"""What an account calls degraded, failing and down: each threshold with its unit and its bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webhooks_project.acceptable import Problem


@dataclass(frozen=True, slots=True)
class Threshold:
    """One number that an account may set."""

    unit: str
    default: float
    lowest: float
    highest: float
    text: str


Limits = Mapping[str, float]

THRESHOLDS: Final[dict[str, Threshold]] = {
    # endpoints
    "min_attempts": Threshold(
        "attempts", 5, 1, 1_000,
        "A window with fewer attempts says nothing about rates and latency.",
    ),
    "degraded_success_percent": Threshold(
        "percent", 95, 1, 100,
        "Degraded while fewer of the attempts of 5 minutes or of an hour succeed.",
    ),
    "failing_success_percent": Threshold(
        "percent", 50, 0, 100,
        "Failing while fewer of the attempts of 5 minutes or of an hour succeed.",
    ),
    "degraded_p95_ms": Threshold(
        "milliseconds", 5_000, 10, 60_000,
        "Degraded while one in twenty attempts of 5 minutes takes longer.",
    ),
    "degraded_failures": Threshold(
        "attempts", 3, 1, 10_000, "Degraded after so many failures without one success between."
    ),
    "failing_failures": Threshold(
        "attempts", 5, 1, 10_000, "Failing after so many failures without one success between."
    ),
    "down_failures": Threshold(
        "attempts", 10, 1, 10_000, "Down after so many failures without one success between, …"
    ),
    "down_seconds": Threshold(
        "seconds", 600, 0, 432_000, "… once the first of them is so long ago."
    ),
    "down_checks": Threshold(
        "checks", 2, 1, 100, "Down after so many active checks failed one after the other."
    ),
    "degraded_backlog_seconds": Threshold(
        "seconds", 300, 10, 604_800,
        "Degraded while due deliveries, or receipts to process, have waited for longer.",
    ),
    "failing_backlog_seconds": Threshold(
        "seconds", 3_600, 10, 604_800,
        "Failing while due deliveries, or receipts to process, have waited for longer.",
    ),
    "ending_days": Threshold(
        "days", 14, 0, 365,
        "Degraded while a certificate, the secrets or the subscription end sooner.",
    ),
    # sources
    "min_receipts": Threshold(
        "calls", 10, 1, 10_000, "An hour with fewer calls says nothing about the refused share."
    ),
    "degraded_refused_percent": Threshold(
        "percent", 10, 0.1, 100, "Degraded while more of an hour's calls are refused."
    ),
    "failing_refused_percent": Threshold(
        "percent", 50, 0.1, 100, "Failing while more of an hour's calls are refused."
    ),
    "degraded_signature_failures": Threshold(
        "calls", 5, 1, 100_000,
        "Degraded after so many calls within an hour that could not be proved to be the sender's.",
    ),
    "degraded_dead_receipts": Threshold(
        "receipts", 1, 1, 100_000, "Degraded after so many receipts died within an hour."
    ),
    "degraded_silence_times": Threshold(
        "times", 2, 1, 100, "Degraded while a source is silent for so many times as long as usual."
    ),
    "failing_silence_times": Threshold(
        "times", 6, 1, 1_000, "Failing while it is silent for so many times as long as usual."
    ),
    # both
    "worsens_after_seconds": Threshold(
        "seconds", 60, 0, 86_400, "A worse state is taken once the figures ask for it so long."
    ),
    "recovers_after_seconds": Threshold(
        "seconds", 300, 0, 86_400, "A better state is taken once the figures ask for it so long."
    ),
}  # fmt: skip

DEFAULTS: Final[Limits] = {name: item.default for name, item in THRESHOLDS.items()}
# The milder state's threshold is met before the worse one's.
_ORDERED: Final = (
    ("failing_success_percent", "degraded_success_percent"),
    ("degraded_failures", "failing_failures"),
    ("failing_failures", "down_failures"),
    ("degraded_backlog_seconds", "failing_backlog_seconds"),
    ("degraded_refused_percent", "failing_refused_percent"),
    ("degraded_silence_times", "failing_silence_times"),
)


def limits_with(own: Mapping[str, float]) -> Limits:
    """The thresholds with an account's own in place of the defaults."""
    return {**DEFAULTS, **{name: own[name] for name in own if name in DEFAULTS}}


def threshold_problems(own: object) -> list[Problem]:
    """What is wrong with an account's own thresholds; the first problem of each."""
    if not isinstance(own, Mapping):
        message = "must be a mapping of thresholds to numbers"
        return [Problem("not_a_mapping", message, field="thresholds")]
    problems = [
        problem
        for name, value in own.items()
        if (problem := _problem(str(name), value)) is not None
    ]
    if problems:
        return problems
    limits = limits_with(own)
    return [
        Problem(
            "out_of_order", f"must not be more than {above}", field=below if below in own else above
        )
        for below, above in _ORDERED
        if limits[below] > limits[above]
    ]


def _problem(name: str, value: object) -> Problem | None:
    known = THRESHOLDS.get(name)
    if known is None:
        return Problem("unknown", "there is no such threshold", field=name[:64])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Problem("not_a_number", "must be a number", field=name)
    if not known.lowest <= value <= known.highest:  # NaN is in no range
        message = f"must be from {known.lowest:g} to {known.highest:,g} {known.unit}"
        return Problem("out_of_range", message, field=name)
    return None
