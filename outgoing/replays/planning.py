"""What a job would come to, before it is started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from statistics import fmean
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Case, Count, Min, QuerySet, Value, When

from outgoing import conf
from outgoing.endpoints import FAIR_SHARE, PERIODS
from outgoing.errors import SelectionNotAcceptable
from outgoing.models import Attempt, Delivery, Event, Replay
from outgoing.replays.candidates import (
    LEFT_OUT,
    asked,
    events_to_match,
    missing_of,
)
from outgoing.replays.jobs import record
from outgoing.replays.pacing import LOOK_SECONDS, MAX_WAITING, RECENT_ROWS
from outgoing.selecting import SCAN_ROWS, Selection, pages_of_deliveries, pages_of_events
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.sql import analyze_unknown

Kind = Replay.Kind
MAX_COUNTED: Final = 50_000  # events that a plan itself asks; beyond, it says that it is not all
USUAL_SECONDS: Final = 0.1  # an attempt takes, where none is known


@dataclass(slots=True)
class _Counted:
    """Counts by (event type, subscription), reasons, and the oldest event."""

    planned: Counter[tuple[str, UUID]] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    oldest: datetime | None = None
    is_complete: bool = True

    def add(self, event_type: str, subscription: UUID, count: int, oldest: datetime) -> None:
        self.planned[event_type, subscription] += count
        self.oldest = oldest if self.oldest is None else min(self.oldest, oldest)

    def add_all(self, rows: QuerySet[Delivery]) -> None:
        """Count the deliveries, also those that are left out."""
        reason = Case(
            *(When(condition, then=Value(reason)) for reason, condition in LEFT_OUT),
            default=Value(""),
        )
        groups = (
            rows.annotate(reason=reason)
            .order_by()
            .values_list("reason", "event__type", "subscription")
            .annotate(count=Count("pk"), oldest=Min("event__created_at"))
        )
        for why, event_type, subscription, count, oldest in groups:
            if why:
                self.left_out[why] += count
            else:
                self.add(event_type, subscription, count, oldest)


def plan_of(kind: str, selection: Selection) -> dict[str, Any]:
    """What the job would come to; reads only. Raises SelectionNotAcceptable for statuses of a kind
    that has its own.

    `count`, `oldest` (ISO 8601, or None), `deliveries`: a list of {event_type, subscription,
    subscription_name, count}, `left_out`: counts by reason, `estimated_seconds`, and `is_complete`:
    False where only the first MAX_COUNTED events were looked at.
    """
    if selection.statuses and kind != Kind.REPLAY:
        raise SelectionNotAcceptable("only a replay goes by statuses", field="statuses")
    analyze_unknown(Event, Delivery)  # the job joins them, page by page
    if kind == Kind.MISSING:
        counted = _count_missing(selection)
    elif selection.is_scanned:
        counted = _count_scanned(kind, selection)
    else:
        counted = _count(kind, selection)
    keys = {subscription for _, subscription in counted.planned}
    subscriptions = Subscription.objects.in_bulk(keys)
    rows = [
        {"event_type": event_type, "subscription": str(key),
         "subscription_name": subscriptions[key].name, "count": count}
        for (event_type, key), count in counted.planned.items()
        if key in subscriptions
    ]  # fmt: skip
    totals: Counter[UUID] = Counter()
    for (_, key), count in counted.planned.items():
        totals[key] += count
    return {
        "count": sum(counted.planned.values()),
        "oldest": counted.oldest.isoformat().replace("+00:00", "Z") if counted.oldest else None,
        "deliveries": sorted(
            rows, key=lambda row: (row["event_type"], row["subscription_name"], row["subscription"])
        ),
        "left_out": dict(sorted(counted.left_out.items())),
        "estimated_seconds": _estimated_seconds(totals, subscriptions),
        "is_complete": counted.is_complete,
    }


def _count(kind: str, selection: Selection) -> _Counted:
    counted = _Counted()
    counted.add_all(asked(kind, selection))
    return counted


def _count_scanned(kind: str, selection: Selection) -> _Counted:
    counted = _Counted()
    looked_at = 0
    rows = asked(kind, selection)
    for keys in pages_of_deliveries(selection, rows, limit=SCAN_ROWS):
        counted.add_all(Delivery.objects.filter(pk__in=keys))
        looked_at += SCAN_ROWS
        if looked_at >= MAX_COUNTED:
            counted.is_complete = False
            break
    return counted


def _count_missing(selection: Selection) -> _Counted:
    counted = _Counted()
    looked_at = 0
    for keys in pages_of_events(selection, events_to_match(), limit=SCAN_ROWS):
        for event, matches in missing_of(keys, selection):
            for match in matches:
                counted.add(event.type, match.subscription_id, 1, event.created_at)
        looked_at += SCAN_ROWS
        if looked_at >= MAX_COUNTED:
            counted.is_complete = False
            break
    return counted


def _estimated_seconds(
    counts: Mapping[UUID, int], subscriptions: Mapping[UUID, Subscription]
) -> int:
    """How long it takes by how long attempts took lately, and the subscriptions' own limits.

    Those that hold what is for them count for nothing: nobody knows until when.
    """
    recent = Attempt.objects.order_by("-started_at").values_list("duration_ms", flat=True)
    durations = list(recent[:RECENT_ROWS])
    each = max(0.001, fmean(durations) / 1000) if durations else USUAL_SECONDS
    sent = {
        key: count
        for key, count in counts.items()
        if key in subscriptions and subscriptions[key].status not in Subscription.HOLDING
    }
    hub_rate = min(conf.in_flight() / 2 / each, MAX_WAITING / LOOK_SECONDS)
    seconds = [sum(sent.values()) / hub_rate]
    for key, count in sent.items():
        row = subscriptions[key]
        rate = (row.max_in_flight or FAIR_SHARE) / each
        if row.rate_limit is not None:
            rate = min(rate * row.batch_size, row.rate_limit / PERIODS[row.rate_period])
        seconds.append(count / rate)
    return round(max(seconds))


@transaction.atomic
def plan_replay(selection: Selection, kind: str = Kind.REPLAY) -> Replay:
    """Write down what is to be carried again and how much that is; nothing is sent yet.

    Raises SelectionNotAcceptable.
    """
    if selection.since is None:
        raise SelectionNotAcceptable("say since when", field="since")
    selection = selection.checked()
    plan = plan_of(kind, selection)
    wanted = {item.name: getattr(selection, item.name) for item in fields(Selection)}
    replay = Replay.objects.create(
        **wanted,
        kind=kind,
        planned_count=plan["count"],
        plan=plan,
        requested_by=current_actor.get().label[:200],
        created_at=clock.now(),
    )
    shown = {name: getattr(value, "pk", value) for name, value in wanted.items()}
    record(replay, "replay.planned", {"kind": kind, **shown, "count": plan["count"]})
    return replay
