"""The dashboards that every account has, and the reports that the hub knows by name.

In code, so that they get better with the hub; copied, they are an account's own to change.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from analytics.widgets import Kind, WidgetSpec


@dataclass(frozen=True)
class DefaultDashboard:
    """A page of widgets in code."""

    key: str
    name: str
    description: str
    widgets: tuple[WidgetSpec, ...]


OVERVIEW: Final = DefaultDashboard(
    "overview",
    "Overview",
    "What goes out and how it fares.",
    (
        WidgetSpec(
            key="attempts", title="Attempts", kind=Kind.NUMBER, measures=("attempts",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="success", title="Success rate", kind=Kind.NUMBER, measures=("success_rate",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="p95", title="Response, 95th percentile", kind=Kind.NUMBER,
            measures=("response_p95_ms",), compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="receipts", title="Receipts", kind=Kind.NUMBER, measures=("receipts",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="volume", title="Attempts by outcome", kind=Kind.STACKED,
            measures=("succeeded", "failed"), width=2, height=2
        ),
        WidgetSpec(
            key="rate", title="Success rate over time", kind=Kind.LINE,
            measures=("success_rate", "first_success_rate"), width=2, height=2
        ),
        WidgetSpec(
            key="latency", title="Response time", kind=Kind.LINE,
            measures=("response_p50_ms", "response_p95_ms", "response_p99_ms"),
            width=2, height=2
        ),
        WidgetSpec(
            key="causes", title="Why attempts failed", kind=Kind.BAR, measures=("failed",),
            dimensions=("cause",), order_by="failed", limit=8, width=2, height=2
        ),
        WidgetSpec(
            key="objectives", title="Objectives", kind=Kind.OBJECTIVES, limit=5, width=4, height=2
        ),
        WidgetSpec(
            key="forecast", title="Attempts, and what is expected", kind=Kind.FORECAST,
            measures=("attempts",), width=4, height=2
        ),
        WidgetSpec(
            key="dead_letters", title="Dead letters that wait for a person",
            kind=Kind.DEAD_LETTERS, limit=8, width=4, height=1
        ),
    ),
)  # fmt: skip

ENDPOINTS: Final = DefaultDashboard(
    "endpoints",
    "Endpoints",
    "Which subscriptions are slow, and which fail.",
    (
        WidgetSpec(
            key="failing", title="Failing most", kind=Kind.TABLE,
            measures=("failed", "attempts", "success_rate", "retries_per_delivery"),
            dimensions=("subscription",), order_by="failed", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="slowest", title="Slowest", kind=Kind.TABLE,
            measures=("response_p95_ms", "response_p50_ms", "response_p99_ms", "attempts"),
            dimensions=("subscription",), order_by="response_p95_ms", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="busiest", title="Busiest", kind=Kind.BAR, measures=("attempts",),
            dimensions=("subscription",), order_by="attempts", limit=8, width=2, height=2
        ),
        WidgetSpec(
            key="statuses", title="Answers by class of status", kind=Kind.STACKED,
            measures=("attempts",), dimensions=("status_class",), width=2, height=2
        ),
        WidgetSpec(
            key="types", title="By event type", kind=Kind.TABLE,
            measures=("attempts", "success_rate", "total_p95_ms"), dimensions=("event_type",),
            order_by="attempts", limit=10, compare=True, width=4, height=2
        ),
        WidgetSpec(
            key="waiting", title="Wait in the queue", kind=Kind.LINE,
            measures=("queue_wait_p50_ms", "queue_wait_p95_ms", "queue_wait_p99_ms"),
            width=4, height=2
        ),
        WidgetSpec(
            key="unused", title="Event types and subscriptions without use", kind=Kind.UNUSED,
            limit=10, width=4, height=2
        ),
    ),
)  # fmt: skip

INCOMING: Final = DefaultDashboard(
    "incoming",
    "Incoming",
    "Who sends to you, when, and what is refused.",
    (
        WidgetSpec(
            key="receipts", title="Receipts", kind=Kind.NUMBER, measures=("receipts",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="accepted", title="Accepted", kind=Kind.NUMBER, measures=("accepted",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="refused", title="Refused", kind=Kind.NUMBER, measures=("refused",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="bytes", title="Bytes received", kind=Kind.NUMBER, measures=("receipt_bytes",),
            compare=True, width=1, height=1
        ),
        WidgetSpec(
            key="sources", title="Receipts by source", kind=Kind.STACKED, measures=("receipts",),
            dimensions=("source",), limit=7, width=2, height=2
        ),
        WidgetSpec(
            key="refusals", title="Why calls were refused", kind=Kind.BAR, measures=("refused",),
            dimensions=("cause",), order_by="refused", limit=8, width=2, height=2
        ),
        WidgetSpec(
            key="noisiest", title="Noisiest sources", kind=Kind.TABLE,
            measures=("receipts", "refused", "duplicates", "receipt_bytes"),
            dimensions=("source",), order_by="receipts", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="delivered", title="What became of it", kind=Kind.TABLE,
            measures=("attempts", "failed", "success_rate", "exhausted"),
            dimensions=("source",), order_by="attempts", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="types", title="By type", kind=Kind.TABLE,
            measures=("receipts", "accepted", "duplicates", "receipt_bytes"),
            dimensions=("event_type",), order_by="receipts", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="hours", title="Receipts by hour of the week", kind=Kind.HEAT_MAP,
            measures=("receipts",), width=4, height=2
        ),
    ),
)  # fmt: skip

DEFAULTS: Final = {item.key: item for item in (OVERVIEW, ENDPOINTS, INCOMING)}

INTEGRATION_HEALTH: Final = DefaultDashboard(
    "integration_health",
    "Integration health",
    "How each endpoint and each source fares, against the period before.",
    (
        WidgetSpec(
            key="success", title="Delivery", kind=Kind.NUMBER,
            measures=("success_rate", "first_success_rate", "attempts", "failed"),
            compare=True, width=4, height=1
        ),
        WidgetSpec(
            key="rate", title="Success rate over time", kind=Kind.LINE,
            measures=("success_rate",), width=4, height=2
        ),
        WidgetSpec(
            key="objectives", title="Objectives", kind=Kind.OBJECTIVES, limit=50, width=4, height=2
        ),
        WidgetSpec(
            key="subscriptions", title="Endpoints", kind=Kind.HEALTH,
            dimensions=("subscription",), limit=50, width=4, height=3
        ),
        WidgetSpec(
            key="causes", title="Why attempts failed", kind=Kind.BAR, measures=("failed",),
            dimensions=("cause",), order_by="failed", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="sources", title="Sources", kind=Kind.HEALTH, dimensions=("source",), limit=50,
            width=4, height=3
        ),
        WidgetSpec(
            key="refusals", title="Why calls were refused", kind=Kind.BAR, measures=("refused",),
            dimensions=("cause",), order_by="refused", limit=10, width=4, height=2
        ),
        WidgetSpec(
            key="dead_letters", title="Dead letters that wait for a person",
            kind=Kind.DEAD_LETTERS, limit=20, width=4, height=2
        ),
        WidgetSpec(
            key="unused", title="Event types and subscriptions without use", kind=Kind.UNUSED,
            limit=20, width=4, height=2
        ),
    ),
)  # fmt: skip

# What a report may be of beside a dashboard of one's own.
SUBJECTS: Final = {**DEFAULTS, INTEGRATION_HEALTH.key: INTEGRATION_HEALTH}
