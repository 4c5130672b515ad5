"""The same call again: it gets the first answer, and its key is no other call's meanwhile.

The event itself holds its key, so a key is known for as long as its event is kept.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef, Q

from outgoing.models import Delivery, Event
from outgoing.querysets import EventQuerySet
from webhooks_project.lib.exact_json import is_same

KEPT: Final = timedelta(hours=24)  # a repeat that comes sooner publishes nothing
UNFINISHED: Final = (
    Delivery.Status.PENDING, Delivery.Status.DELIVERING, Delivery.Status.HELD,
)  # fmt: skip


def is_repeat(first: Event, again: Event) -> bool:
    """Whether the second asks for the same as the first that had its key.

    By what they mean, not by their bytes; when it happened and whose request it was do not count.
    """
    return (
        first.type == again.type
        and sorted(first.channels) == sorted(again.channels)
        and first.metadata == again.metadata
        and first.headers == again.headers
        and first.asked_version == again.asked_version
        and first.deliver_at == again.deliver_at
        and is_same(bytes(first.data), bytes(again.data))
    )


def without_needed_keys(events: EventQuerySet, now: datetime) -> EventQuerySet:
    """Those of the events whose keys nobody needs any more: what may be pruned.

    A key is needed for KEPT, and for as long as a delivery of its event is not over.
    """
    unfinished = Delivery.objects.filter(event=OuterRef("pk"), status__in=UNFINISHED)
    old = Q(created_at__lt=now - KEPT) & ~Exists(unfinished)
    return events.filter(Q(idempotency_key=None) | old)
