"""Every metric by its name: type, unit, labels. docs/metrics.md tells the same to people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RESPONSE_SECONDS: Final = (
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
WAIT_SECONDS: Final = (
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
)  # fmt: skip


class Type(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """One metric. The name is the family's: samples of a counter end in `_total`."""

    name: str
    type: Type
    help: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()

    @property
    def samples(self) -> tuple[str, ...]:
        """The names that its samples have, which expressions ask for."""
        if self.type is Type.COUNTER:
            return (f"{self.name}_total",)
        if self.type is Type.HISTOGRAM:
            return (f"{self.name}_bucket", f"{self.name}_count", f"{self.name}_sum")
        return (self.name,)


def _counter(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, Type.COUNTER, help, labels)


def _gauge(name: str, help: str, *labels: str) -> Metric:
    return Metric(name, Type.GAUGE, help, labels)


RECEIPTS: Final = _counter(
    "webhooks_receipts", "Calls to ingest URLs, by how they were answered.", "outcome"
)
REFUSALS: Final = _counter("webhooks_refusals", "Refused calls, by cause.", "cause")
EVENTS: Final = _counter("webhooks_events", "Events published.", "origin")
ATTEMPTS: Final = _counter(
    "webhooks_attempts",
    "Attempts to deliver; the cause of one that succeeded is none.",
    "trigger", "outcome", "cause",
)  # fmt: skip
DELIVERIES_ENDED: Final = _counter(
    "webhooks_deliveries_ended", "Deliveries that came to an end, by which.", "state"
)
DEAD_LETTERS: Final = _counter(
    "webhooks_dead_letters", "Deliveries and receipts that were given up.", "kind"
)
BREAKER_MOVES: Final = _counter(
    "webhooks_breaker_moves", "Breakers that opened, and that closed again.", "state"
)
ATTEMPT_SECONDS: Final = Metric(
    "webhooks_attempt_seconds", Type.HISTOGRAM, "From an attempt's start to its end.",
    ("outcome",), RESPONSE_SECONDS,
)  # fmt: skip
FIRST_BYTE_SECONDS: Final = Metric(
    "webhooks_attempt_first_byte_seconds", Type.HISTOGRAM,
    "From an attempt's start to the first byte of its answer, where one came.",
    ("outcome",), RESPONSE_SECONDS,
)  # fmt: skip
QUEUE_WAIT_SECONDS: Final = Metric(
    "webhooks_attempt_queue_wait_seconds", Type.HISTOGRAM,
    "From when an attempt was due to its start.",
    ("trigger",), WAIT_SECONDS,
)  # fmt: skip
ACCOUNT_RECEIPTS: Final = _counter(
    "webhooks_account_receipts", "Calls that an account's sources took.", "account"
)
ACCOUNT_EVENTS: Final = _counter(
    "webhooks_account_events", "Events that an account published.", "account"
)
ACCOUNT_ATTEMPTS: Final = _counter(
    "webhooks_account_attempts", "Attempts to deliver for an account.", "account", "outcome"
)

QUEUE_DEPTH: Final = _gauge("webhooks_queue_depth", "Work that is due.", "family", "lane")
QUEUE_AGE: Final = _gauge(
    "webhooks_queue_age_seconds",
    "By how much the oldest due work is overdue, whatever it waits for.",
    "family", "lane",
)  # fmt: skip
QUEUE_UNSERVED: Final = _gauge(
    "webhooks_queue_unserved_age_seconds",
    "By how much work is overdue that nobody works at; what /readyz goes by.",
    "family",
)
HEARTBEAT_AGE: Final = _gauge(
    "webhooks_heartbeat_age_seconds",
    "Since a process that serves the family last gave a sign of life, on any node.",
    "family",
)
PUMPS_ALIVE: Final = _gauge(
    "webhooks_places_alive", "Places of a family that gave a sign of life lately.", "family"
)
NODES_ALIVE: Final = _gauge("webhooks_nodes_alive", "Nodes that gave a sign of life lately.")
DELIVERIES: Final = _gauge(
    "webhooks_deliveries", "Deliveries that have not come to a good end, by state.", "state"
)
RETRIES: Final = _gauge(
    "webhooks_retries", "Retries that wait for their time, and that are due.", "state"
)
LEASES_EXPIRED: Final = _gauge(
    "webhooks_leases_expired", "Claims of lost workers that nobody has taken up yet.", "kind"
)
DEAD_LETTERS_WAITING: Final = _gauge(
    "webhooks_dead_letters_waiting", "Dead letters that wait for a person.", "kind"
)
SUBSCRIPTIONS: Final = _gauge("webhooks_subscriptions", "Subscriptions, by status.", "status")
BREAKERS: Final = _gauge(
    "webhooks_breakers", "Breakers of subscriptions that are not archived, by state.", "state"
)
INCIDENTS: Final = _gauge("webhooks_incidents", "Incidents that are not resolved.", "severity")
NOTIFICATIONS: Final = _gauge("webhooks_notifications_due", "Notifications that are due.")
DATABASE_BYTES: Final = _gauge("webhooks_database_size_bytes", "Size of the database.")
CONNECTIONS: Final = _gauge(
    "webhooks_database_connections", "Connections to the database, by state.", "state"
)
CONNECTIONS_MAX: Final = _gauge(
    "webhooks_database_connections_max", "Connections that the database allows."
)
OLDEST_TRANSACTION: Final = _gauge(
    "webhooks_database_oldest_transaction_seconds", "Age of the oldest open transaction."
)
ACCOUNT_DEAD_LETTERS: Final = _gauge(
    "webhooks_account_dead_letters_waiting",
    "An account's deliveries that wait for a person.",
    "account",
)
COUNTED_UNTIL: Final = _gauge(
    "webhooks_counted_until_timestamp_seconds", "How far the counters have come."
)
READING_SECONDS: Final = _gauge("webhooks_reading_seconds", "How long the last reading took.")
READING_AGE: Final = _gauge("webhooks_reading_age_seconds", "Age of these figures.")
BUILD_INFO: Final = _gauge(
    "webhooks_build_info", "Always 1; the version and what it runs on.",
    "version", "python", "django", "database",
)  # fmt: skip

METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
