"""The jobs that run, moved on batch by batch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog
from django import db
from django.db import connection, transaction
from django.db.models import F, Q

from monitoring import journal
from outgoing import services
from outgoing.models import Delivery, Event, Replay
from outgoing.replays.candidates import ENDED, deliveries_to_replay, events_to_match, missing_of
from outgoing.replays.pacing import (
    BATCH_ROWS,
    BEHIND_LOOK_SECONDS,
    LOOK_SECONDS,
    MAX_LAGGING,
    Lines,
    live_limit,
    most_of,
)
from outgoing.selecting import Selection, page_of_deliveries, page_of_events
from subscriptions.matching import Match
from subscriptions.models import Subscription
from webhooks_project.lib.sql import is_due
from webhooks_project.lib.turns import turn_to_write

log = structlog.get_logger(__name__)

Kind, Status = Replay.Kind, Replay.Status

Position = tuple[datetime, UUID] | None  # the last row that was looked at; None before the first


class Pace:
    """When jobs are moved on: a few times a second, however often it is asked; while live traffic
    is behind every other second, since to look costs as much as some deliveries."""

    def __init__(self) -> None:
        self._after = 0.0

    def advance(self, now: datetime) -> int:
        """Move running jobs on where it is time to. Returns how many deliveries it put in line."""
        if time.monotonic() < self._after:
            return 0
        self._after = time.monotonic() + LOOK_SECONDS  # also where it fails
        count, is_behind = _advance_all(now)
        if is_behind:
            self._after = time.monotonic() + BEHIND_LOOK_SECONDS
        return count


def advance_replays(now: datetime) -> int:
    """Put one batch of each running job in line. Returns how many deliveries.

    Each batch is one transaction with the job's cursor, so a job that was cut off goes on behind
    its last whole batch. One that fails is marked so, with the error. Raises the database's
    OperationalError and InterfaceError: then nothing is wrong with the job.
    """
    count, _ = _advance_all(now)
    return count


def _advance_all(now: datetime) -> tuple[int, bool]:
    """How many deliveries were put in line, and whether live traffic is behind."""
    if not is_due(Replay, "created_at", now, status=Status.RUNNING.value):
        return 0, False
    running = Replay.objects.filter(status=Status.RUNNING, paused_at=None)
    jobs = list(running.order_by("redelivered_count", "created_at").values_list("pk", flat=True))
    if not jobs:
        return 0, False
    count = 0
    limit = live_limit(now)
    for pk in jobs:
        # While live traffic is behind all jobs share one trickle; who has had least comes first.
        left = None if limit is None else limit - count
        if left is not None and left <= 0:
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
    return count, limit is not None


@dataclass(slots=True)
class _Batch:
    """What is put in line next, how far that comes, and who lags behind from where.

    `is_end`: nothing is left behind it.
    """

    put_in_line: Callable[[], int]
    last: Position
    is_end: bool = False
    lagging: dict[UUID, Position] = field(default_factory=dict)


def _advance(pk: UUID, limit: int | None, now: datetime) -> int:
    """Put the next of a job in line: of the whole, and of each subscription that lags."""
    replay = _running(pk).select_related("account", "subscription").first()
    if replay is None:  # cancelled or paused meanwhile
        return 0
    lines = Lines(replay)
    lagging = _lagging_of(replay)
    # However many lag, a round puts no more in line than it would without them.
    total = most_of(replay, limit)
    room = min(max(1, total // 2) if lagging else total, lines.room(lagging))
    count, is_end = 0, False
    if room > 0:
        # Looked for outside the transaction: SQLite would let nobody write meanwhile.
        batch = _look(replay, Selection.of(replay), _position(replay), room, lines, lagging)
        is_end = batch.is_end
        behind = lagging | batch.lagging
        taken = _put_in_line(replay, batch, batch.last or _position(replay), behind)
        if taken is None:
            return 0
        count += taken
    low = [(key, after) for key, after in _lagging_of(replay).items() if lines.is_low(key)]
    for had_turn, (key, after) in enumerate(low):
        part = math.ceil((total - count) / (len(low) - had_turn))
        if part <= 0:
            break
        taken = _advance_one(replay, key, after, min(part, lines.room_of(key)))
        if taken is None:
            return count
        count += taken
    if is_end and not replay.lagging:
        _finish(replay, now)
    return count


def _advance_one(replay: Replay, key: UUID, after: Position, room: int) -> int | None:
    """The same of one subscription that lags; once it has all, it lags no more."""
    behind = _lagging_of(replay)
    subscription = Subscription.objects.select_related("account").filter(pk=key).first()
    if subscription is None:
        del behind[key]
        return _put_in_line(replay, _Batch(lambda: 0, None), _position(replay), behind)
    selection = replace(Selection.of(replay), subscription=subscription)
    batch = _look(replay, selection, after, room)
    if batch.is_end:
        del behind[key]
    else:
        behind[key] = batch.last
    return _put_in_line(replay, batch, _position(replay), behind)


def _put_in_line(
    replay: Replay, batch: _Batch, position: Position, behind: Mapping[UUID, Position]
) -> int | None:
    """Put a batch in line and note how far the job is, in one transaction.

    None where it is not the job's next batch any more: another pump has moved it on.
    """
    lagging = {
        str(key): [after[0].isoformat(), str(after[1])] if after else None
        for key, after in behind.items()
    }
    with turn_to_write(connection), transaction.atomic():
        found = _running(replay.pk).select_for_update(skip_locked=True).first()
        if found is None or (found.cursor_at, found.cursor_id, found.lagging) != (
            replay.cursor_at, replay.cursor_id, replay.lagging,
        ):  # fmt: skip
            return None
        taken = batch.put_in_line()
        replay.cursor_at, replay.cursor_id = position or (None, None)
        replay.lagging = lagging
        _running(replay.pk).update(
            redelivered_count=F("redelivered_count") + taken,
            cursor_at=replay.cursor_at,
            cursor_id=replay.cursor_id,
            lagging=lagging,
        )
    return taken


def _running(pk: UUID) -> db.models.QuerySet[Replay]:
    return Replay.objects.filter(pk=pk, status=Status.RUNNING, paused_at=None)


def _position(replay: Replay) -> Position:
    if replay.cursor_at is None or replay.cursor_id is None:
        return None
    return replay.cursor_at, replay.cursor_id


def _lagging_of(replay: Replay) -> dict[UUID, Position]:
    return {
        UUID(key): (datetime.fromisoformat(after[0]), UUID(after[1])) if after else None
        for key, after in replay.lagging.items()
    }


def _finish(replay: Replay, now: datetime) -> None:
    with transaction.atomic():
        same = _running(replay.pk).filter(cursor_at=replay.cursor_at, cursor_id=replay.cursor_id)
        if not same.update(status=Status.FINISHED, finished_at=now):
            return
        replay.refresh_from_db()
        if replay.account_id is not None:
            journal.record_activity(
                account_id=replay.account_id,
                kind="replay.finished",
                text=f"{replay.redelivered_count} of {replay.planned_count} planned deliveries "
                "were put in line again.",
                subject=replay,
            )
    log.info("replay finished", replay_id=str(replay.pk), count=replay.redelivered_count)


# --- looking for the next batch -------------------------------------------------------------------


def _look(
    replay: Replay,
    selection: Selection,
    after: Position,
    room: int,
    lines: Lines | None = None,
    lagging: Mapping[UUID, Position] | None = None,
) -> _Batch:
    """The next batch of a selection. Where `lines` are given, who takes no more lags behind."""
    look = _missing_ones if replay.kind == Kind.MISSING else _deliveries
    return look(replay, selection, after, room, lines, lagging or {})


def _deliveries(
    replay: Replay,
    selection: Selection,
    after: Position,
    room: int,
    lines: Lines | None,
    lagging: Mapping[UUID, Position],
) -> _Batch:
    # One of the selection that another job, or a person, has put in line is passed over; and so is
    # what this job took already, should it have run before it had a cursor.
    rows = deliveries_to_replay(replay.kind, selection).filter(Q(replay=None) | ~Q(replay=replay))
    if lagging:
        rows = rows.exclude(subscription__in=list(lagging))
    page = page_of_deliveries(selection, rows, after=after, limit=room)
    keys, last = list(page.keys), page.last
    behind: dict[UUID, Position] = {}
    if lines is not None and not lines.are_one:
        keys, stop, behind = _within(page.keys, after, lines, len(lagging))
        last = stop or last

    def put_in_line() -> int:
        taken = services.redeliver(
            deliveries=keys,
            trigger=Delivery.Trigger.REPLAY,
            replay_id=replay.pk,
            statuses=ENDED,
        )
        return len(taken)

    return _Batch(put_in_line, last, page.last is None, behind)


def _within(
    keys: Sequence[UUID], after: Position, lines: Lines, lagging_count: int
) -> tuple[list[UUID], Position, dict[UUID, Position]]:
    """Of a page what there is room for in the lines, where it stops if it does, and who lags."""
    rows = list(
        Delivery.objects.filter(pk__in=keys)
        .order_by("event__created_at", "pk")
        .values_list("pk", "subscription", "event__created_at")
    )
    lines.know({key for _, key, _ in rows})
    taken: list[UUID] = []
    behind: dict[UUID, Position] = {}
    for pk, key, at in rows:
        if key in behind:
            pass
        elif lines.has_room(key):
            lines.add(key)
            taken.append(pk)
        elif lagging_count + len(behind) < MAX_LAGGING:
            behind[key] = after
        else:
            return taken, after, behind
        after = (at, pk)
    return taken, None, behind


def _missing_ones(
    replay: Replay,
    selection: Selection,
    after: Position,
    room: int,
    lines: Lines | None,
    lagging: Mapping[UUID, Position],
) -> _Batch:
    page = page_of_events(selection, events_to_match(), after=after, limit=BATCH_ROWS)
    found: list[tuple[Event, Sequence[Match]]] = []
    behind: dict[UUID, Position] = {}
    last, count = page.last, 0
    for event, matches in missing_of(page.keys, selection, without=lagging):
        matches = [match for match in matches if match.subscription_id not in behind]
        if lines is not None:
            lines.know({match.subscription_id for match in matches})
            full = {
                match.subscription_id: after
                for match in matches
                if not lines.has_room(match.subscription_id)
            }
            if full and len(lagging) + len(behind) + len(full) > MAX_LAGGING:
                last = after
                break
            behind |= full
            matches = [match for match in matches if match.subscription_id not in full]
            for match in matches:
                lines.add(match.subscription_id)
        after = (event.created_at, event.pk)
        if matches:
            found.append((event, matches))
            count += len(matches)
        if count >= room:
            last = after
            break

    def put_in_line() -> int:
        return sum(
            services.deliver_later(event=event, matches=matches, replay_id=replay.pk)
            for event, matches in found
        )

    return _Batch(put_in_line, last, page.last is None, behind)
