"""How an event type is used: its events, who hears it, and what became of its deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, F, Q

from outgoing.models import Delivery, Event
from subscriptions.matching import patterns_for
from subscriptions.models import EventType, Subscription

MAX_PERIOD: Final = timedelta(days=31)
MAX_EVENTS: Final = 100_000  # counted at once; of more, the latest are

# Those of which something could still be delivered, or was lately.
HEARING: Final = (
    Subscription.Status.ACTIVE,
    Subscription.Status.PAUSED,
    Subscription.Status.DISABLED,
)


@dataclass(frozen=True, slots=True)
class VersionUsage:
    """The events of one schema version in the period, and their deliveries by how they stand.

    `version` is empty for events that were checked against none. `subscriptions` are those that
    got deliveries; `failed` deliveries are dead letters, `failing` ones are tried again.
    """

    version: str
    events: int = 0
    quarantined: int = 0
    mismatched: int = 0
    subscriptions: int = 0
    deliveries: int = 0
    delivered: int = 0
    failing: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class TypeUsage:
    """The use of an event type from `since` until `until`.

    `since` is later than what was asked for where there were too many events to count.
    `subscriptions` are those that hear the type now, whatever the period.
    """

    since: datetime
    until: datetime
    subscriptions: int
    versions: Sequence[VersionUsage]

    @property
    def events(self) -> int:
        """The events of all versions."""
        return sum(version.events for version in self.versions)


def usage_of_type(*, event_type: EventType, since: datetime, until: datetime) -> TypeUsage:
    """Count by version, in four queries over at most MAX_EVENTS events.

    `until` is exclusive, and the period is cut to the last MAX_PERIOD of it.
    """
    since = max(since, until - MAX_PERIOD)
    events = Event.objects.filter(
        account=event_type.account_id, type=event_type.name, created_at__lt=until
    ).order_by()
    # As deep into the index as is counted, and no deeper.
    bound = events.filter(created_at__gte=since).order_by("-created_at")
    oldest = bound.values_list("created_at", flat=True)[MAX_EVENTS : MAX_EVENTS + 1].first()
    if oldest is not None:
        since = oldest + timedelta(microseconds=1)
    events = events.filter(created_at__gte=since)
    usage: dict[str, VersionUsage] = {}
    for row in events.values(version=F("schema_version")).annotate(
        events=Count("pk"),
        quarantined=Count("pk", filter=Q(quarantined_at__isnull=False)),
        mismatched=Count("pk", filter=~Q(schema_errors=[])),
    ):
        usage[row["version"]] = VersionUsage(**row)
    deliveries = Delivery.objects.filter(event__in=events).order_by()
    for counts in deliveries.values(version=F("event__schema_version")).annotate(
        subscriptions=Count("subscription_id", distinct=True),
        deliveries=Count("pk"),
        delivered=Count("pk", filter=Q(status=Delivery.Status.DELIVERED)),
        failing=Count("pk", filter=_failing()),
        failed=Count("pk", filter=Q(status=Delivery.Status.EXHAUSTED)),
    ):
        version = counts["version"]
        usage[version] = replace(usage.get(version, VersionUsage(version)), **counts)
    return TypeUsage(
        since=since,
        until=until,
        subscriptions=_hearing(event_type),
        versions=sorted(usage.values(), key=_number, reverse=True),
    )


def _failing() -> Q:
    """Those that failed and are tried again."""
    waiting = (Delivery.Status.PENDING, Delivery.Status.DELIVERING, Delivery.Status.HELD)
    return Q(status__in=waiting) & ~Q(last_cause="")


def _hearing(event_type: EventType) -> int:
    return (
        Subscription.objects.filter(
            account=event_type.account_id,
            status__in=HEARING,
            patterns__pattern__in=patterns_for(event_type.name),
        )
        .distinct()
        .count()
    )


def _number(usage: VersionUsage) -> tuple[int, ...]:
    return tuple(int(part) for part in usage.version.split(".") if part.isdigit())
