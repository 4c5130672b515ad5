"""Replay: past receipts processed again, as a job with a plan, a progress and an end.

A job only puts receipts back in line; the processing pump does the rest, as with any receipt. They
are taken by the verdict that they got on arrival: nothing is verified anew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django import db
from django.db import IntegrityError, transaction
from django.db.models import Case, Count, Exists, F, Min, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Length

from incoming.errors import ReplayNotAcceptable, StateNotAllowed
from incoming.models import HandlerRun, Receipt, ReceiptReplay, Source
from incoming.refusals import KEPT_BODY_BYTES
from incoming.repeats import dedup_slot
from monitoring import journal
from webhooks_project.accounts.models import Account
from webhooks_project.jobs import behind, turn, type_condition
from webhooks_project.lib import clock
from webhooks_project.lib.actor import current_actor
from webhooks_project.lib.sql import is_due
from webhooks_project.queues import wake

log = structlog.get_logger(__name__)

Status = Receipt.Status

BATCH_ROWS: Final = 200  # put in line in one transaction
MAX_WAITING: Final = 200  # while so much is due already, a job adds nothing: live receipts first
MAX_RUNNING: Final = 20  # jobs of one account; each is asked of on every round, and by retention
REPLAYABLE: Final = (Status.PROCESSED, Status.FAILED, Status.DEAD, Status.REFUSED)
NOT_ENDED: Final = (
    HandlerRun.Status.PENDING,
    HandlerRun.Status.RUNNING,
    HandlerRun.Status.FAILED,
)
SUPERSEDED: Final = "superseded"  # the cause of a run whose receipt was replayed before it ended

# Why a receipt of the selection is not replayed; the first that is true of it.
_LEFT_OUT: Final[tuple[tuple[str, Q], ...]] = (
    ("duplicate", Q(status=Status.DUPLICATE)),
    ("handshake", Q(status=Status.HANDSHAKE)),
    ("not_verified", Q(is_verified=False)),
    ("quarantined", Q(quarantined_at__isnull=False)),
    ("waiting", ~Q(status__in=REPLAYABLE)),
    ("body_pruned", Q(body_pruned_at__isnull=False)),
    # A refused call's body is kept up to this length. One of exactly this length counts as cut.
    ("body_cut", Q(status=Status.REFUSED, kept_bytes=KEPT_BODY_BYTES)),
    # The third party sent it again, and that was accepted.
    ("repeated", Q(status=Status.REFUSED, is_repeated=True)),
)


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is asked for: receipts received in `[since, until)` with these marks; empty for any.

    `type_pattern` is a type, or a beginning of one with `*` after it.
    """

    since: datetime
    until: datetime
    account: Account | None = None
    source: Source | None = None
    receipt_id: UUID | None = None
    type_pattern: str = ""
    statuses: Sequence[str] = ()
    cause: str = ""

    @classmethod
    def of(cls, replay: ReceiptReplay) -> Selection:
        """What this job was asked for."""
        return cls(**{item.name: getattr(replay, item.name) for item in fields(cls)})

    def checked(self) -> Selection:
        """The same with its source's account, and nothing of what is yet to come.

        Raises ReplayNotAcceptable, naming the `field`.
        """
        until = min(self.until, clock.now())
        if self.since >= until:
            raise ReplayNotAcceptable("since must be before until, and in the past", field="since")
        account = self.account or (self.source.account if self.source else None)
        if self.source is not None and self.source.account != account:
            raise ReplayNotAcceptable("the source is another account's", field="source")
        if "*" in self.type_pattern[:-1]:
            raise ReplayNotAcceptable("a * stands only at the end", field="type_pattern")
        for name in self.statuses:
            if name not in Status.values:
                raise ReplayNotAcceptable(f"{name!r} is no status", field="statuses")
        return replace(self, until=until, account=account, statuses=sorted(set(self.statuses)))

    @property
    def condition(self) -> Q:
        """Of the receipts that are asked for, whether or not they may be replayed."""
        wanted = Q(received_at__gte=self.since, received_at__lt=self.until)
        wanted &= type_condition("type", self.type_pattern)
        if self.account is not None:
            wanted &= Q(account=self.account)
        if self.source is not None:
            wanted &= Q(source=self.source)
        if self.receipt_id is not None:
            wanted &= Q(pk=self.receipt_id)
        if self.statuses:
            wanted &= Q(status__in=list(self.statuses))
        if self.cause:
            wanted &= Q(cause=self.cause)
        return wanted


def receipts_to_replay(selection: Selection) -> QuerySet[Receipt]:
    """Those of the selection that can be replayed, the oldest first.

    A positive verdict is stored with each, and its whole body: processed, failed, dead, or refused
    after it was verified. Not among them: duplicates, handshakes, what is quarantined, what waits
    or is under way, pruned and cut bodies, and what was refused and came again.
    """
    left_out = Q()
    for _, condition in _LEFT_OUT:
        left_out |= condition
    return _judged(selection).exclude(left_out).order_by("received_at", "pk")


def _judged(selection: Selection) -> QuerySet[Receipt]:
    """The selection, with what `_LEFT_OUT` asks of it."""
    accepted = Receipt.objects.filter(
        external_id=OuterRef("external_id"), source=OuterRef("source"), dedup_slot__isnull=False
    ).exclude(pk=OuterRef("pk"))
    return Receipt.objects.filter(selection.condition).alias(
        kept_bytes=Length("body"), is_repeated=~Q(external_id="") & Q(Exists(accepted.order_by()))
    )


def plan_of(selection: Selection) -> dict[str, Any]:
    """What replaying the selection would come to; reads only.

    `count`, `oldest` (ISO 8601, or None), `receipts`: a list of {source, source_name, type, status,
    count}, and `left_out`: counts by reason.
    """
    rows = (
        _judged(selection)
        .annotate(
            reason=Case(
                *(When(condition, then=Value(reason)) for reason, condition in _LEFT_OUT),
                default=Value(""),
            )
        )
        .order_by()
        .values_list("reason", "source", "source__name", "type", "status")
        .annotate(count=Count("pk"), oldest=Min("received_at"))
        .order_by("source__name", "source", "type", "status")
    )
    left_out: Counter[str] = Counter()
    receipts = []
    oldest: list[datetime] = []
    for reason, source, name, type_, status, count, first in rows:
        if reason:
            left_out[reason] += count
            continue
        receipts.append({"source": str(source), "source_name": name, "type": type_,
                         "status": status, "count": count})  # fmt: skip
        oldest.append(first)
    return {
        "count": sum(row["count"] for row in receipts),
        "oldest": min(oldest).isoformat().replace("+00:00", "Z") if oldest else None,
        "receipts": receipts,
        "left_out": dict(sorted(left_out.items())),
    }


@transaction.atomic
def plan_replay(selection: Selection) -> ReceiptReplay:
    """Write down what is to be replayed and how much that is; nothing is processed yet.

    Raises ReplayNotAcceptable.
    """
    selection = selection.checked()
    plan = plan_of(selection)
    asked = {item.name: getattr(selection, item.name) for item in fields(Selection)}
    replay = ReceiptReplay.objects.create(
        **asked,
        planned_count=plan["count"],
        plan=plan,
        requested_by=current_actor.get().label[:200],
        created_at=clock.now(),
    )
    shown = {name: getattr(value, "pk", value) for name, value in asked.items()}
    _record(replay, "receipt_replay.planned", {**shown, "count": plan["count"]})
    return replay


@transaction.atomic
def replay_receipt(receipt: Receipt) -> ReceiptReplay:
    """Start a replay of this receipt alone. Raises StateNotAllowed where it cannot be replayed."""
    selection = Selection(
        since=receipt.received_at,
        until=receipt.received_at + timedelta(microseconds=1),
        source=receipt.source,
        receipt_id=receipt.pk,
    )
    plan = plan_of(selection)
    if not plan["count"]:
        raise StateNotAllowed(f"it cannot be replayed: {', '.join(plan['left_out'])}")
    return start_replay(plan_replay(selection))


@transaction.atomic
def start_replay(replay: ReceiptReplay) -> ReceiptReplay:
    """Let the processing pump carry out a planned replay, or go on with one that failed.

    Raises StateNotAllowed for one in another state, and while MAX_RUNNING of its account run.
    """
    startable = (ReceiptReplay.Status.PLANNED, ReceiptReplay.Status.FAILED)
    running = ReceiptReplay.objects.filter(
        account=replay.account_id, status=ReceiptReplay.Status.RUNNING
    )
    if running.exclude(pk=replay.pk).count() >= MAX_RUNNING:
        raise StateNotAllowed(f"{MAX_RUNNING} replays are running; start it when one has ended")
    turn(
        replay,
        startable,
        StateNotAllowed,
        status=ReceiptReplay.Status.RUNNING,
        started_at=replay.started_at or clock.now(),
        finished_at=None,
        error="",
    )
    _record(replay, "receipt_replay.started")
    transaction.on_commit(lambda: wake("processing"))
    return replay


@transaction.atomic
def cancel_replay(replay: ReceiptReplay) -> ReceiptReplay:
    """Put no more receipts in line; those that are in line already are processed.

    Raises StateNotAllowed for one that has ended.
    """
    open_ = (ReceiptReplay.Status.PLANNED, ReceiptReplay.Status.RUNNING)
    turn(
        replay,
        open_,
        StateNotAllowed,
        status=ReceiptReplay.Status.CANCELLED,
        finished_at=clock.now(),
    )
    _record(replay, "receipt_replay.cancelled", {"replayed_count": replay.replayed_count})
    return replay


def _record(replay: ReceiptReplay, action: str, after: dict[str, Any] | None = None) -> None:
    if replay.account_id is not None:
        journal.record_change(
            account_id=replay.account_id, action=action, subject=replay, after=after
        )


# --- carrying it out ------------------------------------------------------------------------------


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
