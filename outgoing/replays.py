"""Replay: past events carried again, as a job with a plan, a progress and an end.

A job only puts deliveries in line, behind first attempts; the delivery pumps carry them. The retry
family's pump moves the jobs on, so one that was cut off goes on by itself.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from statistics import fmean, median
from typing import Any, Final
from uuid import UUID

import structlog
from django import db
from django.db import transaction
from django.db.models import Case, Count, F, Min, Q, QuerySet, Value, When

from monitoring import journal
from outgoing import conf, services
from outgoing.endpoints import FAIR_SHARE, PERIODS
from outgoing.errors import SelectionNotAcceptable, StateNotAllowed
from outgoing.models import Attempt, Delivery, Event, Replay
from outgoing.selecting import (
    CHUNK_ROWS,
    SCAN_ROWS,
    Selection,
    page_of_deliveries,
    page_of_events,
    pages_of_deliveries,
    pages_of_events,
)
from subscriptions.matching import Match, hearers_of
from subscriptions.models import Subscription
from webhooks_project.jobs import turn
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.sql import is_due
from webhooks_project.queues import wake

log = structlog.get_logger(__name__)

Kind, Status = Replay.Kind, Replay.Status

BATCH_ROWS: Final = 200  # put in line in one transaction
MAX_WAITING: Final = 200  # while so many of a job's deliveries are in line, it adds none
MAX_RUNNING: Final = 20  # jobs of one account; each is asked of on every round, and by retention
MAX_COUNTED: Final = 50_000  # events that a plan itself asks; beyond, it says that it is not all
LOOK_SECONDS: Final = 0.25  # between two rounds
# Live traffic is behind when the first attempts of the last seconds waited longer than this at the
# median: one endpoint that hangs does not make it so. Jobs then get this part of the throughput.
BEHIND_SECONDS: Final = 0.5
RECENT_SECONDS: Final = 5
RECENT_ROWS: Final = 400
PART_WHILE_BEHIND: Final = 0.05
USUAL_SECONDS: Final = 0.1  # an attempt takes, where none is known

ENDED: Final = (Delivery.Status.DELIVERED, Delivery.Status.EXHAUSTED, Delivery.Status.CANCELLED)
# What each kind takes where no statuses are named.
_STATUSES: Final[dict[str, Sequence[str]]] = {
    Kind.RECOVER: (Delivery.Status.EXHAUSTED,),
    Kind.REPLAY: (),
}
# Why a delivery of the selection is not replayed; the first that is true of it.
_LEFT_OUT: Final[tuple[tuple[str, Q], ...]] = (
    ("waiting", ~Q(status__in=ENDED)),
    ("archived", Q(subscription__status=Subscription.Status.ARCHIVED)),
    ("body_pruned", ~services.HAS_BODY),
)


def deliveries_to_replay(kind: str, selection: Selection) -> QuerySet[Delivery]:
    """Those that can be replayed, as far as the database can tell, in no order.

    What waits or is under way is not among them, nor what is held: it is carried anyway. Nor what
    is of archived subscriptions, or of events whose data is not kept any more.
    """
    left_out = Q()
    for _, condition in _LEFT_OUT:
        left_out |= condition
    return _asked(kind, selection).exclude(left_out)


def _asked(kind: str, selection: Selection) -> QuerySet[Delivery]:
    found = Delivery.objects.filter(selection.of_deliveries)
    return found.filter(status__in=_STATUSES[kind]) if _STATUSES[kind] else found


# --- planning -------------------------------------------------------------------------------------


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


def plan_of(kind: str, selection: Selection) -> dict[str, Any]:
    """What the job would come to; reads only.

    `count`, `oldest` (ISO 8601, or None), `deliveries`: a list of {event_type, subscription,
    subscription_name, count}, `left_out`: counts by reason, `estimated_seconds`, and `is_complete`:
    False where only the first MAX_COUNTED events were looked at.
    """
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
    rows = (
        _asked(kind, selection)
        .annotate(
            reason=Case(
                *(When(condition, then=Value(reason)) for reason, condition in _LEFT_OUT),
                default=Value(""),
            )
        )
        .order_by()
        .values_list("reason", "event__type", "subscription")
        .annotate(count=Count("pk"), oldest=Min("event__created_at"))
    )
    for reason, event_type, subscription, count, oldest in rows:
        if reason:
            counted.left_out[reason] += count
        else:
            counted.add(event_type, subscription, count, oldest)
    return counted


def _count_scanned(kind: str, selection: Selection) -> _Counted:
    counted = _Counted()
    looked_at = 0
    rows = deliveries_to_replay(kind, selection)
    for keys in pages_of_deliveries(selection, rows, limit=SCAN_ROWS):
        found = Delivery.objects.filter(pk__in=keys).order_by()
        for row in found.values_list("event__type", "subscription").annotate(
            count=Count("pk"), oldest=Min("event__created_at")
        ):
            counted.add(*row)
        looked_at += SCAN_ROWS
        if looked_at >= MAX_COUNTED:
            counted.is_complete = False
            break
    return counted


def _count_missing(selection: Selection) -> _Counted:
    counted = _Counted()
    looked_at = 0
    for keys in pages_of_events(selection, _events_to_match(), limit=SCAN_ROWS):
        for event, matches in _missing(keys, selection):
            for match in matches:
                counted.add(event.type, match.subscription_id, 1, event.created_at)
        looked_at += len(keys)
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
    if selection.statuses and kind != Kind.REPLAY:
        raise SelectionNotAcceptable("only a replay goes by statuses", field="statuses")
    selection = selection.checked()
    plan = plan_of(kind, selection)
    asked = {item.name: getattr(selection, item.name) for item in fields(Selection)}
    replay = Replay.objects.create(
        **asked,
        kind=kind,
        planned_count=plan["count"],
        plan=plan,
        requested_by=current_actor.get().label[:200],
        created_at=clock.now(),
    )
    shown = {name: getattr(value, "pk", value) for name, value in asked.items()}
    _record(replay, "replay.planned", {"kind": kind, **shown, "count": plan["count"]})
    return replay


# --- what people do with it -----------------------------------------------------------------------


@transaction.atomic
def start_replay(replay: Replay) -> Replay:
    """Let the retry pump carry out a planned replay, or go on with one that failed.

    Raises StateNotAllowed for one in another state, and while MAX_RUNNING of its account run.
    """
    running = Replay.objects.filter(account=replay.account_id, status=Status.RUNNING)
    if running.exclude(pk=replay.pk).count() >= MAX_RUNNING:
        raise StateNotAllowed(f"{MAX_RUNNING} replays are running; start it when one has ended")
    turn(
        replay,
        (Status.PLANNED, Status.FAILED),
        StateNotAllowed,
        status=Status.RUNNING,
        started_at=replay.started_at or clock.now(),
        paused_at=None,
        finished_at=None,
        error="",
    )
    _record(replay, "replay.started")
    transaction.on_commit(_wake)
    return replay


@transaction.atomic
def pause_replay(replay: Replay) -> Replay:
    """Put no more in line until it is resumed. Raises StateNotAllowed unless it is running."""
    if replay.paused_at is None or replay.status != Status.RUNNING:
        turn(replay, (Status.RUNNING,), StateNotAllowed, paused_at=clock.now())
        _record(replay, "replay.paused", {"redelivered_count": replay.redelivered_count})
    return replay


@transaction.atomic
def resume_replay(replay: Replay) -> Replay:
    """Go on with a paused one. Raises StateNotAllowed where it is not paused."""
    paused = Replay.objects.filter(pk=replay.pk, status=Status.RUNNING, paused_at__isnull=False)
    if not paused.update(paused_at=None):
        raise StateNotAllowed("only a paused replay is resumed")
    replay.refresh_from_db()
    _record(replay, "replay.resumed")
    transaction.on_commit(_wake)
    return replay


@transaction.atomic
def cancel_replay(replay: Replay) -> Replay:
    """Put no more deliveries in line; those that are in line already are carried.

    Raises StateNotAllowed for one that has ended.
    """
    open_ = (Status.PLANNED, Status.RUNNING)
    turn(replay, open_, StateNotAllowed,
         status=Status.CANCELLED, paused_at=None, finished_at=clock.now())  # fmt: skip
    _record(replay, "replay.cancelled", {"redelivered_count": replay.redelivered_count})
    return replay


def _wake() -> None:
    wake("retry")


def _record(replay: Replay, action: str, after: dict[str, Any] | None = None) -> None:
    if replay.account_id is not None:
        journal.record_change(
            account_id=replay.account_id, action=action, subject=replay, after=after
        )


# --- carrying it out ------------------------------------------------------------------------------


class Pace:
    """When jobs are moved on: a few times a second, however often it is asked."""

    def __init__(self) -> None:
        self._after = 0.0

    def advance(self, now: datetime) -> int:
        """Move running jobs on where it is time to. Returns how many deliveries it put in line."""
        if time.monotonic() < self._after:
            return 0
        self._after = time.monotonic() + LOOK_SECONDS
        return advance_replays(now)


def advance_replays(now: datetime) -> int:
    """Put one batch of each running job in line. Returns how many deliveries.

    Each batch is one transaction with the job's cursor, so a job that was cut off goes on behind
    its last whole batch. One that fails is marked so, with the error. Raises the database's
    OperationalError and InterfaceError: then nothing is wrong with the job.
    """
    if not is_due(Replay, "created_at", now, status=Status.RUNNING.value):
        return 0
    running = Replay.objects.filter(status=Status.RUNNING, paused_at=None)
    jobs = list(running.order_by("redelivered_count", "created_at").values_list("pk", flat=True))
    if not jobs:
        return 0
    count = 0
    limit = live_limit(now)
    for pk in jobs:
        # While live traffic is behind all jobs share one trickle; who has had least comes first.
        left = BATCH_ROWS if limit is None else limit - count
        if left <= 0:
            break
        try:
            count += _advance(pk, left, now)
        except (db.OperationalError, db.InterfaceError):
            raise
        except Exception as error:
            log.exception("replay failed", replay_id=str(pk))
            running.filter(pk=pk).update(
                status=Status.FAILED,
                error=f"{type(error).__name__}: {error}"[:1000],
                finished_at=now,
            )
    return count


def live_limit(now: datetime) -> int | None:
    """How many deliveries all jobs may put in line in a round; None where live traffic is not
    behind, so that nothing but what waits already holds them back."""
    recent = list(
        Attempt.objects.filter(started_at__gte=now - timedelta(seconds=RECENT_SECONDS))
        .order_by("-started_at")
        .values_list("trigger", "queue_wait_ms", "started_at")[:RECENT_ROWS]
    )
    waits = [wait for trigger, wait, _ in recent if trigger == Delivery.Trigger.FIRST]
    if not waits or median(waits) <= BEHIND_SECONDS * 1000:
        return None
    span = max((now - recent[-1][2]).total_seconds(), LOOK_SECONDS)
    return max(1, int(len(recent) / span * LOOK_SECONDS * PART_WHILE_BEHIND))


def _waiting_of(pk: UUID) -> int:
    """How many of a job's deliveries are in line; counts no further than matters."""
    waiting = Delivery.objects.filter(replay=pk, lane__isnull=False).order_by()
    return waiting[:MAX_WAITING].count()


def _advance(pk: UUID, limit: int, now: datetime) -> int:
    jobs = Replay.objects.filter(pk=pk, status=Status.RUNNING, paused_at=None)
    replay = jobs.select_related("account", "subscription").first()
    if replay is None:  # cancelled or paused meanwhile
        return 0
    room = min(limit, BATCH_ROWS, MAX_WAITING - _waiting_of(pk))
    if room <= 0:
        return 0
    # Looked for outside the transaction: SQLite would let nobody write meanwhile.
    look = _look_for_missing if replay.kind == Kind.MISSING else _look
    put_in_line, last = look(replay, room)
    with transaction.atomic():
        # Not one that another pump has moved on since.
        same = jobs.filter(cursor_at=replay.cursor_at, cursor_id=replay.cursor_id)
        if same.select_for_update(skip_locked=True).first() is None:
            return 0
        if last is None:
            _finish(replay, now)
            return 0
        taken = put_in_line()
        jobs.update(
            redelivered_count=F("redelivered_count") + taken, cursor_at=last[0], cursor_id=last[1]
        )
    return taken


_Last = tuple[datetime, UUID] | None
_Found = tuple[Callable[[], int], _Last]


def _after(replay: Replay) -> _Last:
    if replay.cursor_at is None or replay.cursor_id is None:
        return None
    return replay.cursor_at, replay.cursor_id


def _look(replay: Replay, room: int) -> _Found:
    """What puts the next batch in line, and its last row."""
    selection = Selection.of(replay)
    # One of the selection that another job, or a person, has put in line is passed over; and so is
    # what this job took already, should it have run before it had a cursor.
    rows = deliveries_to_replay(replay.kind, selection).filter(Q(replay=None) | ~Q(replay=replay))
    page = page_of_deliveries(selection, rows, after=_after(replay), limit=room)

    def put_in_line() -> int:
        taken = services.redeliver(
            deliveries=page.keys,
            trigger=Delivery.Trigger.REPLAY,
            replay_id=replay.pk,
            statuses=ENDED,
        )
        return len(taken)

    return put_in_line, page.last


def _finish(replay: Replay, now: datetime) -> None:
    replay.status = Status.FINISHED
    replay.finished_at = now
    replay.save(update_fields=["status", "finished_at"])
    if replay.account_id is not None:
        journal.record_activity(
            account_id=replay.account_id,
            kind="replay.finished",
            text=f"{replay.redelivered_count} of {replay.planned_count} planned deliveries were "
            "put in line again.",
            subject=replay,
        )
    log.info("replay finished", replay_id=str(replay.pk), count=replay.redelivered_count)


# --- what a subscription never got ----------------------------------------------------------------


def _events_to_match() -> QuerySet[Event]:
    return Event.objects.not_scheduled(clock.now()).filter(
        quarantined_at=None,
        dropped_at=None,
        cancelled_at=None,
        body_pruned_at=None,
        expunged_at=None,
    )


def _look_for_missing(replay: Replay, room: int) -> _Found:
    """The same of what is missing."""
    selection = Selection.of(replay)
    page = page_of_events(selection, _events_to_match(), after=_after(replay), limit=BATCH_ROWS)
    found: list[tuple[Event, Sequence[Match]]] = []
    last, count = page.last, 0
    for event, matches in _missing(page.keys, selection):
        if matches:
            found.append((event, matches))
            count += len(matches)
        if count >= room:
            last = (event.created_at, event.pk)
            break

    def put_in_line() -> int:
        return sum(
            services.deliver_later(event=event, matches=matches, replay_id=replay.pk)
            for event, matches in found
        )

    return put_in_line, last


def _missing(keys: Sequence[UUID], selection: Selection) -> Iterator[tuple[Event, Sequence[Match]]]:
    """The events, the oldest first, with who matches them now and has no delivery of them."""
    types: dict[UUID, set[str]] = {}
    for account, event_type in Event.objects.filter(pk__in=keys).values_list("account", "type"):
        types.setdefault(account, set()).add(event_type)
    hearers = hearers_of(types)
    only = selection.subscription.pk if selection.subscription else None
    got: dict[UUID, set[UUID]] = {}
    for event, subscription in Delivery.objects.filter(event__in=keys).values_list(
        "event", "subscription"
    ):
        got.setdefault(event, set()).add(subscription)
    events = Event.objects.filter(pk__in=keys).order_by("created_at", "pk")
    for row in events.iterator(chunk_size=CHUNK_ROWS):
        facts = services.facts_of(row)
        # Of the hub's own events: the subscription that one is about never gets it.
        has_it = got.get(row.pk, set()) | services.about_itself(row)
        matches = [
            hearer.match(facts)
            for hearer in hearers[row.account_id, row.type]
            if hearer.subscription_id not in has_it and only in (None, hearer.subscription_id)
        ]
        yield row, [match for match in matches if not match.reason]
