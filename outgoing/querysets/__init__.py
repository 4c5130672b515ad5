"""Questions asked of events, deliveries and what goes with them, by their domain names."""

from outgoing.querysets.attempts import AttemptQuerySet, SentBodyQuerySet
from outgoing.querysets.deliveries import (
    LANES,
    LEASE_SECONDS,
    LIMITED,
    PARKED,
    Claim,
    DeliveryQuerySet,
    lane_again,
)
from outgoing.querysets.events import EventQuerySet
from outgoing.querysets.flows import FlowQuerySet
from outgoing.querysets.retries import RetryQuerySet

__all__ = [
    "LANES", "LEASE_SECONDS", "LIMITED", "PARKED", "AttemptQuerySet", "Claim", "DeliveryQuerySet",
    "EventQuerySet", "FlowQuerySet", "RetryQuerySet", "SentBodyQuerySet", "lane_again",
]  # fmt: skip
