"""What people do with a job: start it, pause it, go on, end it."""

from __future__ import annotations

from typing import Any, Final

from django.db import transaction

from monitoring import journal
from outgoing.errors import StateNotAllowed
from outgoing.models import Replay
from webhooks_project.jobs import turn
from webhooks_project.lib import clock
from webhooks_project.queues import wake

Status = Replay.Status
MAX_RUNNING: Final = 20  # jobs of one account; each is asked of on every round, and by retention


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
    record(replay, "replay.started")
    transaction.on_commit(_wake)
    return replay


@transaction.atomic
def pause_replay(replay: Replay) -> Replay:
    """Put no more in line until it is resumed. Raises StateNotAllowed unless it is running."""
    if replay.paused_at is None or replay.status != Status.RUNNING:
        turn(replay, (Status.RUNNING,), StateNotAllowed, paused_at=clock.now())
        record(replay, "replay.paused", {"redelivered_count": replay.redelivered_count})
    return replay


@transaction.atomic
def resume_replay(replay: Replay) -> Replay:
    """Go on with a paused one. Raises StateNotAllowed where it is not paused."""
    paused = Replay.objects.filter(pk=replay.pk, status=Status.RUNNING, paused_at__isnull=False)
    if not paused.update(paused_at=None):
        raise StateNotAllowed("only a paused replay is resumed")
    replay.refresh_from_db()
    record(replay, "replay.resumed")
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
    record(replay, "replay.cancelled", {"redelivered_count": replay.redelivered_count})
    return replay


def _wake() -> None:
    wake("retry")


def record(replay: Replay, action: str, after: dict[str, Any] | None = None) -> None:
    """Note what a person did with a job, in its account's journal; a job over all has none."""
    if replay.account_id is not None:
        journal.record_change(
            account_id=replay.account_id, action=action, subject=replay, after=after
        )
