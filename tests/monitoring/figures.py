"""Figures for tests: plain functions, every argument defaulted to that of a healthy one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from monitoring.figures import (
    DAY,
    FIVE_MINUTES,
    HOUR,
    AccountFigures,
    Arrivals,
    EndpointFigures,
    Outcome,
    SourceFigures,
)
from monitoring.models import AlertRule

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday
ENDPOINT = UUID(int=1)
SOURCE = UUID(int=2)
RULE = UUID(int=3)


def outcome(
    attempts: int = 100, failed: int = 0, cause: str = "status_5xx", **more: Any
) -> Outcome:
    return Outcome(
        attempts=attempts,
        succeeded=attempts - failed,
        by_cause={cause: failed} if failed else {},
        **{"p50_ms": 20.0, "p95_ms": 80.0, "p99_ms": 90.0} | more,
    )


def endpoint(
    five: Outcome | None = None,
    hour: Outcome | None = None,
    day: Outcome | None = None,
    **more: Any,
) -> EndpointFigures:
    windows = {FIVE_MINUTES: five, HOUR: hour, DAY: day or outcome()}
    return EndpointFigures(
        **{
            "id": ENDPOINT,
            "name": "Receiver",
            "windows": {seconds: item for seconds, item in windows.items() if item is not None},
        }
        | more
    )


def arrivals(received: int = 100, **refused: int) -> Arrivals:
    return Arrivals(received, received - sum(refused.values()), refused)


def source(hour: Arrivals | None = None, **more: Any) -> SourceFigures:
    return SourceFigures(
        **{
            "id": SOURCE,
            "name": "GitHub",
            "windows": {HOUR: hour or arrivals()},
            "last_received_at": NOW,
            "silent_seconds": 0.0,
        }
        | more
    )


def account(*items: EndpointFigures | SourceFigures, **queues: float) -> AccountFigures:
    return AccountFigures(
        tuple(item for item in items if isinstance(item, EndpointFigures)),
        tuple(item for item in items if isinstance(item, SourceFigures)),
        queues,
    )


def rule(kind: str, threshold: float, window: int = 0, **more: Any) -> AlertRule:
    """One that is not stored."""
    return AlertRule(
        **{"id": RULE, "kind": kind, "threshold": threshold, "window_seconds": window} | more
    )
