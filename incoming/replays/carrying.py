"""Running replays put their receipts back in line, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django import db
from django.db import IntegrityError, transaction
from django.db.models import F

from incoming.models import HandlerRun, Receipt, ReceiptReplay, Source
from incoming.repeats import dedup_slot
from incoming.replays.candidates import Selection, receipts_to_replay
from monitoring import journal
from webhooks_project.jobs import behind
from webhooks_project.lib.sql import is_due

log = structlog.get_logger(__name__)

Status = Receipt.Status

BATCH_ROWS: Final = 200  # put in line in one transaction
MAX_WAITING: Final = 200  # while so much is due already, a job adds nothing: live receipts first
NOT_ENDED: Final = (
    HandlerRun.Status.PENDING,
    HandlerRun.Status.RUNNING,
    HandlerRun.Status.FAILED,
)
SUPERSEDED: Final = "superseded"  # the cause of a run whose receipt was replayed before it ended


def advance_replays(now: datetime) -> int:
    """Put one batch of each running job in line. Returns how many receipts.

    Each batch is one transaction with the job's cursor, so a job that was cut off goes on behind
    its last whole batch. One that fails is marked so, with the error. Raises the database's
    OperationalError and InterfaceError: then nothing is wrong with the job.
    """
    if not is_due(ReceiptReplay, "created_at", now, status=ReceiptReplay.Status.RUNNING.value):
        return 0
    running = ReceiptReplay.objects.filter(status=ReceiptReplay.Status.RUNNING)
    count = 0
    # Each has its share of the room, and who has had least comes first where that is none: a long
    # job of one account must not hold back another's.
    jobs = list(running.order_by("replayed_count", "created_at", "pk").values_list("pk", flat=True))
    for had_turn, pk in enumerate(jobs):
        room = _room(now)
        if not room:
            break
        room = min(math.ceil(room / (len(jobs) - had_turn)), _room_of(pk, now))
        if not room:
            continue
        try:
            count += _advance(pk, room, now)
        except (db.OperationalError, db.InterfaceError):
            raise
        except Exception as error:
            log.exception("replay failed", replay_id=str(pk))
            running.filter(pk=pk).update(
                status=ReceiptReplay.Status.FAILED,
                error=f"{type(error).__name__}: {error}"[:1000],
                finished_at=now,
            )
    return count


def _room(now: datetime) -> int:
    """How many receipts may be put in line: few where many are due, since all stand in one line."""
    due = Receipt.objects.filter(next_attempt_at__lte=now).order_by()[:MAX_WAITING].count()
    return min(BATCH_ROWS, max(0, MAX_WAITING - due))


def _room_of(pk: UUID, now: datetime) -> int:
    """How many of one job may be: few where many handlers' runs are due of what it goes over.

    Handlers take turns, so those of others are in nobody's way.
    """
    due = HandlerRun.objects.filter(next_attempt_at__lte=now).order_by()
    replay = ReceiptReplay.objects.only("account_id", "source_id").get(pk=pk)
    if replay.source_id is not None:
        due = due.filter(source=replay.source_id)
    elif replay.account_id is not None:
        sources = Source.objects.filter(account=replay.account_id).order_by()
        due = due.filter(source__in=sources.values("pk"))
    return max(0, MAX_WAITING - due[:MAX_WAITING].count())


@transaction.atomic
def _advance(pk: UUID, room: int, now: datetime) -> int:
    replay = (
        ReceiptReplay.objects.select_for_update(skip_locked=True)
        .filter(pk=pk, status=ReceiptReplay.Status.RUNNING)
        .first()
    )
    if replay is None:  # cancelled meanwhile, or in another pump's hands
        return 0
    found = receipts_to_replay(Selection.of(replay)).filter(
        behind("received_at", replay.cursor_at, replay.cursor_id)
    )
    rows = list(
        found.select_for_update().only(
            "received_at", "status", "external_id", "dedup_slot", "source_id"
        )[:room]
    )
    if not rows:
        _finish(replay, now)
        return 0
    taken = _put_in_line(rows, replay, now)
    replay.replayed_count += taken
    replay.cursor_at, replay.cursor_id = rows[-1].received_at, rows[-1].pk
    replay.save(update_fields=["replayed_count", "cursor_at", "cursor_id"])
    return taken


def _finish(replay: ReceiptReplay, now: datetime) -> None:
    replay.status = ReceiptReplay.Status.FINISHED
    replay.finished_at = now
    replay.save(update_fields=["status", "finished_at"])
    if replay.account_id is not None:
        journal.record_activity(
            account_id=replay.account_id,
            kind="receipt_replay.finished",
            text=f"{replay.replayed_count} of {replay.planned_count} planned receipts were put in "
            "line again.",
            subject=replay,
        )
    log.info("replay finished", replay_id=str(replay.pk), count=replay.replayed_count)


def _put_in_line(rows: Sequence[Receipt], replay: ReceiptReplay, now: datetime) -> int:
    """Let the receipts be processed in a new round. Returns how many."""
    without_slot = [
        row
        for row in rows
        if row.status == Status.REFUSED and row.external_id and row.dedup_slot is None
    ]
    passed_over = _take_slots(without_slot)
    ids = [row.pk for row in rows if row.pk not in passed_over]
    # A worker that is running one loses its claim, and so takes back what it did.
    HandlerRun.objects.filter(receipt__in=ids, status__in=NOT_ENDED).update(
        status=HandlerRun.Status.DEAD,
        cause=SUPERSEDED,
        next_attempt_at=None,
        lease_token=None,
        leased_until=None,
        finished_at=now,
    )
    # Their conditions hold: the rows are locked.
    return Receipt.objects.filter(pk__in=ids).update(
        status=Status.ACCEPTED,
        round=F("round") + 1,
        replay=replay,
        cause="",
        detail="",
        discard_reason="",
        attempt_count=0,
        next_attempt_at=now,
        lease_token=None,
        leased_until=None,
        routed_at=None,
        processed_at=None,
        event_count=0,
        action_count=0,
    )


def _take_slots(rows: Sequence[Receipt]) -> set[UUID]:
    """Make refused receipts that are now taken known by their ids, as any accepted one is.

    Returns those whose id is taken by now: the same call was refused twice, or came again.
    """
    sources = Source.objects.in_bulk({row.source_id for row in rows})
    taken = set()
    for row in rows:
        slot = dedup_slot(sources[row.source_id], row)
        try:
            with transaction.atomic():
                Receipt.objects.filter(pk=row.pk).update(dedup_slot=slot)
        except IntegrityError:
            taken.add(row.pk)
    return taken
