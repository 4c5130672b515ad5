"""The lines of work of each queue family: how much is due, since when, and whether it is worked at.

Work may be long overdue in a queue that is served well: it waits for its subscription's rate, its
order or its window, behind a breaker, or behind more of the same to an endpoint or a handler that
is slow. So what a node answers for, and what opens incidents, is the work that nobody works at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, F, Max, Min, OuterRef, Q, QuerySet, Subquery
from django_q.models import Schedule

from incoming.models import HandlerRun, Receipt
from monitoring.models import Notification
from outgoing.models import Delivery, Retry
from outgoing.querysets import LIMITED
from subscriptions.models import Subscription
from webhooks_project.models import Heartbeat, Uncounted
from webhooks_project.queues import PUMPS

LOOKED_AT: Final = 5_000  # rows, the oldest, among which work is sought that nobody works at
LANES: Final = {
    Delivery.Lane.FIRST: "first",
    Delivery.Lane.AGAIN: "again",
    Delivery.Lane.LIMITED: "limited",
}


@dataclass(frozen=True)
class Line:
    """What is due in one line of a family: how many, and since when the oldest is."""

    family: str
    lane: str
    depth: int
    due_since: datetime | None

    def age_seconds(self, now: datetime) -> float:
        return _age(self.due_since, now)


@dataclass(frozen=True)
class Queue:
    """How a family stands: its last sign of life, and its oldest work that nobody works at."""

    family: str
    heartbeat_seconds: float | None
    age_seconds: float


def lines_due(now: datetime, *, accounts: Collection[UUID] | None = None) -> list[Line]:
    """What is due in each line, of these accounts or of all."""

    def of(rows: QuerySet[Any], path: str = "account") -> QuerySet[Any]:
        return rows if accounts is None else rows.filter(**{f"{path}__in": accounts})

    deliveries = of(Delivery.objects.filter(lane__isnull=False, next_attempt_at__lte=now))
    by_lane = {
        lane: (count, since)
        for lane, count, since in deliveries.order_by()
        .values_list("lane")
        .annotate(count=Count("*"), since=Min("next_attempt_at"))
    }
    return [
        _line("processing", "receipts", of(Receipt.objects.all().due(now)), "next_attempt_at"),
        _line("processing", "handlers", of(HandlerRun.objects.all().due(now)), "next_attempt_at"),
        *(Line("delivery", name, *by_lane.get(lane, (0, None))) for lane, name in LANES.items()),
        _line("retry", "retries", of(Retry.objects.due(now), "delivery__account"), "due_at"),
        _line(
            "monitoring",
            "notifications",
            of(Notification.objects.filter(next_attempt_at__lte=now)),
            "next_attempt_at",
        ),
        *([] if accounts is not None else [_uncounted()]),
    ]


def _uncounted() -> Line:
    """Commits whose attempts or receipts are in no rollup yet; they are of no account."""
    return Line("analytics", "rollups", Uncounted.objects.count(), _uncounted_since())


def _uncounted_since() -> datetime | None:
    # Their keys alone are indexed: the oldest mark is of the oldest minute, or nearly.
    minute = Uncounted.objects.order_by("pk").values_list("minute", flat=True).first()
    return minute + timedelta(minutes=1) if minute else None


def queues_of(families: Iterable[str], now: datetime) -> list[Queue]:
    """How these families stand, on all nodes together."""
    asked = list(families)
    beats = _last_beats(asked, now)
    return [
        Queue(
            family,
            max(0.0, (now - beats[family]).total_seconds()) if family in beats else None,
            max((_age(moment, now) for moment in _unserved(family, now)), default=0.0),
        )
        for family in asked
    ]


def _last_beats(families: Collection[str], now: datetime) -> dict[str, datetime]:
    """When each gave a sign of life within a day; of those that run short tasks and never did, when
    the first one should have run."""
    rows = Heartbeat.objects.filter(family__in=families, beat_at__gte=now - timedelta(days=1))
    beats = dict(rows.order_by().values_list("family").annotate(last=Max("beat_at")))
    schedules = {
        f"webhooks-{family}": family
        for family in families
        if family not in beats and family not in PUMPS
    }
    if schedules:
        due = Schedule.objects.filter(name__in=schedules, next_run__isnull=False).order_by()
        for name, at in due.values_list("name").annotate(at=Min("next_run")):
            beats[schedules[name]] = at
    return beats


def _unserved(family: str, now: datetime) -> Iterable[datetime | None]:
    """Since when the oldest work is due, in each line, that nobody works at."""
    if family == "processing":
        handlers = HandlerRun.objects.all().due(now)
        running = HandlerRun.objects.filter(leased_until__gt=now).order_by().values("handler")
        return (
            _first(Receipt.objects.all().due(now), "next_attempt_at"),
            _first(handlers.exclude(handler__in=running), "next_attempt_at"),
        )
    if family == "delivery":
        return (*(_unserved_in(lane, now) for lane in (0, 1)), _unowned_since(now))
    if family == "retry":
        return (_first(Retry.objects.due(now), "due_at"),)
    if family == "monitoring":
        return (_first(Notification.objects.filter(next_attempt_at__lte=now), "next_attempt_at"),)
    return (_uncounted_since(),)


def _unserved_in(lane: int, now: datetime) -> datetime | None:
    """Since when a delivery is due whose subscription has none under way.

    One that has some is worked at, however much waits behind them.
    """
    oldest = Delivery.objects.due(now, lane).values("subscription", "next_attempt_at")[:LOOKED_AT]
    rows = list(oldest.values_list("subscription", "next_attempt_at"))
    if not rows:
        return None
    # Not DISTINCT: for that SQLite walks all of history by subscription.
    leased = Delivery.objects.filter(leased_until__gt=now).order_by()
    served = set(leased.values_list("subscription", flat=True))
    return next((due_at for subscription, due_at in rows if subscription not in served), None)


def _unowned_since(now: datetime) -> datetime | None:
    """Since when something is due to a subscription with limits that no pump looks after.

    The owner of its flow lets it through as the limits say; how long that takes is theirs.
    """
    due = Delivery.objects.filter(subscription=OuterRef("pk"), next_attempt_at__lte=now, **LIMITED)
    free = Q(flow=None) | Q(flow__leased_until=None) | Q(flow__leased_until__lt=now)
    rows = (
        Subscription.objects.filter(free, is_limited=True)
        .order_by()
        .annotate(first=Subquery(due.order_by("next_attempt_at").values("next_attempt_at")[:1]))
        .filter(first__isnull=False)
        .values_list("first", F("flow__leased_until"))
    )
    return min((max(first, left or first) for first, left in rows), default=None)


def _line(family: str, lane: str, rows: QuerySet[Any], column: str) -> Line:
    found = rows.order_by().aggregate(count=Count("*"), since=Min(column))
    return Line(family, lane, found["count"], found["since"])


def _first(rows: QuerySet[Any], column: str) -> datetime | None:
    return rows.order_by(column).values_list(column, flat=True).first()


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
