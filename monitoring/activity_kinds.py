"""Every kind of activity that the hub records, and what it means."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Of those that are counted an hour has one line for each subject, with how often it happened.
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "breaker.closed": "An endpoint that was let alone answered again; deliveries go on.",
        "breaker.opened": "An endpoint failed so often that it is let alone for a while.",
        "bulk_job.finished": "A job over many subscriptions came to its end.",
        "delivery.cancelled": "Deliveries were cancelled: by a person, with their event or their "
        "subscription, or because nothing was to be sent. Counted by subscription and hour.",
        "delivery.exhausted": "Deliveries were given up after their last retry. Counted by "
        "subscription and hour.",
        "finding.opened": "Something was found that keeps subscriptions or sources from their "
        "work.",
        "finding.resolved": "What was found is mended, or is no longer looked at.",
        "handler.dead": "A handler of the platform failed until its last try. Counted by source "
        "and hour.",
        "health.changed": "An endpoint or a source does better or worse than before.",
        "notification.failed": "A person could not be told, after every try.",
        "notification.unaddressed": "Nobody could be told: no recipient has an address.",
        "receipt.dead": "Receipts could not be processed and were given up. Counted by source "
        "and hour.",
        "receipt_replay.finished": "Past receipts were put in line again.",
        "replay.finished": "Past deliveries were put in line again.",
        "report.failed": "A report could not be made, after every try.",
        "subscription.diagnosed": "An endpoint was examined by test deliveries.",
    }
)


def groups() -> list[str]:
    """What kinds begin with, as a filter by prefix takes it: `delivery.` and the like."""
    return sorted({f"{kind.partition('.')[0]}." for kind in KINDS})
