"""Replays: started, by a plan or of one receipt alone, and cancelled."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.db import transaction

from incoming.errors import StateNotAllowed
from incoming.models import Receipt, ReceiptReplay
from incoming.replays.candidates import Selection
from incoming.replays.planning import plan_of, plan_replay, record_change
from webhooks_project.jobs import turn
from webhooks_project.lib import clock
from webhooks_project.queues import wake

MAX_RUNNING: Final = 20  # jobs of one account; each is asked of on every round, and by retention


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
    record_change(replay, "receipt_replay.started")
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
    record_change(replay, "receipt_replay.cancelled", {"replayed_count": replay.replayed_count})
    return replay
