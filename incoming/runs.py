"""Running handlers: each run in a transaction of its own, within its time, until it succeeds.

A run's end is written in the transaction of what it did, under the claim's token. So a try counts
once with all its effects in this database, or leaves none there; and a worker that lost its claim
while it was at work takes back what it did.
"""

from __future__ import annotations

import time
import traceback
from collections import deque
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import orjson
import structlog
from django import db
from django.db import transaction

from incoming.errors import BodyPruned, ClaimLost, HandlerUnknown
from incoming.handlers import (
    RETRY_SECONDS,
    TIME_LIMIT_SECONDS,
    GiveUp,
    Handler,
    Webhook,
    handler_named,
)
from incoming.masking import mask_of
from incoming.models import HandlerRun, Receipt, Source
from incoming.payload import headers_of
from incoming.processing.notes import note_error
from incoming.routing import Failed, cause_of, payload_of
from monitoring import journal
from webhooks_project.lib import clock
from webhooks_project.lib.time_limit import TimeLimitExceeded, process_time_limit, time_limit
from webhooks_project.lib.transactions import atomic_from_first_statement
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)

SWEEP_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.25  # how late a pump at work notices a handler that is newly waited for
# What a run may take beyond its limit to notice it, to roll back and to write its end; then its
# process is ended.
GRACE_SECONDS: Final = 15.0
LEASE_GRACE_SECONDS: Final = 25.0  # beyond the limit; a run is never claimed from a living worker
MAX_ERROR_LENGTH: Final = 16_384  # characters of a traceback, its end
DATABASE_PAUSE_SECONDS: Final = 0.5

WORKER_LOST: Final = Failed(
    "worker_lost",
    "The worker ended before the run did: it was killed, or the handler was past its time limit "
    "in code that nothing interrupts.",
)


class Line:
    """The handlers that are waited for, taking turns: one run of each, then the next of the first.

    So a long backlog of one handler costs another at most the time of one run of each.
    """

    def __init__(self) -> None:
        self._names: deque[str] = deque()
        self._look_after = 0.0

    def next(self, now: datetime) -> str | None:
        """The handler whose turn it is; None where none is waited for.

        One that another worker runs at this moment only where no other waits: a slow one shall not
        have every worker.
        """
        if not self._names or time.monotonic() >= self._look_after:
            self._look_after = time.monotonic() + LOOK_SECONDS
            due = HandlerRun.objects.handlers_due(now)
            had_turn = {name: index for index, name in enumerate(self._names)}
            # Who is new has had no turn yet and comes first.
            self._names = deque(sorted(due, key=lambda name: had_turn.get(name, -1)))
        if not self._names:
            return None
        running = HandlerRun.objects.handlers_running()
        name = next((name for name in self._names if name not in running), self._names[0])
        self._names.remove(name)
        self._names.append(name)
        return name


def run_handler_pump(place: Place) -> int:
    """Run handlers until the place's turn is over. Returns how many runs were tried."""
    tried = 0
    sweep_after = 0.0
    line = Line()
    while True:
        try:
            if not place.goes_on():
                return tried
            if time.monotonic() >= sweep_after:
                sweep_after = time.monotonic() + SWEEP_SECONDS
                fail_lost_runs(clock.now())
            if run_next(line, place):
                tried += 1
            else:
                time.sleep(POLL_SECONDS)
        except (db.OperationalError, db.InterfaceError) as error:
            log.warning("the database is away", error=str(error)[:200])
            db.close_old_connections()
            time.sleep(DATABASE_PAUSE_SECONDS)


def run_next(line: Line, place: Place) -> bool:
    """Try the run whose turn it is. Returns whether there was one."""
    now = clock.now()
    if not HandlerRun.objects.any_due(now):
        return False
    name = line.next(now)
    if name is None:
        return False
    handler = handler_named(name)
    limit = handler.time_limit if handler else TIME_LIMIT_SECONDS
    lease = timedelta(seconds=limit + LEASE_GRACE_SECONDS)
    claim = HandlerRun.objects.claim(handler=name, now=now, lease=lease, worker=place.name)
    if claim is not None:
        with place.kept(limit + GRACE_SECONDS), process_time_limit(limit + GRACE_SECONDS):
            try_run(*claim)
    # Nothing to claim: another pump has taken what there was, and something else may be due.
    return True


def try_run(run_id: UUID, token: UUID) -> None:
    """Run a claimed run's handler and write down how it ended. The main thread's alone."""
    run = HandlerRun.objects.select_related("receipt", "source").get(pk=run_id)
    handler = handler_named(run.handler)
    started_at = time.monotonic()
    try:
        if handler is None:
            raise HandlerUnknown(f"no handler is named {run.handler}")
        webhook = webhook_of(run)
        with atomic_from_first_statement():
            with time_limit(handler.time_limit):
                handler.function(webhook)
            _succeed(run, token, _duration_ms(started_at))
    except ClaimLost:
        log.warning("a run's claim was lost; what it did is taken back", run_id=str(run.pk),
                    handler=run.handler)  # fmt: skip
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        duration_ms = _duration_ms(started_at)
        _fail(run, token, handler, _failure(run, error), _is_final(error), duration_ms)


def webhook_of(run: HandlerRun) -> Webhook:
    """What the run's handler is told. Raises what keeps it from being known."""
    receipt, source = run.receipt, run.source
    if receipt.body_pruned_at is not None:
        raise BodyPruned
    data = payload_of(source, receipt)
    if isinstance(data, Failed):
        raise _NoPayload(data)
    return Webhook(
        receipt_id=receipt.pk,
        account_id=receipt.account_id,
        source_id=source.pk,
        source_name=source.name,
        provider=source.provider,
        type=receipt.type,
        external_id=receipt.external_id,
        data=orjson.loads(data),
        body=bytes(receipt.body),
        headers=headers_of(receipt),
        received_at=receipt.received_at,
        signed_at=receipt.signed_at,
        is_verified=receipt.is_verified,
        idempotency_key=str(uuid5(receipt.pk, run.handler)),
        attempt=run.attempt_count,
        round=run.round,
    )


class _NoPayload(Exception):
    """The transformation of the source does not give the payload now."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.detail)
        self.failed = failed


def fail_lost_runs(now: datetime) -> int:
    """Count the tries whose worker is gone as failed. Returns how many there were."""
    lost = list(HandlerRun.objects.expired(now).select_related("receipt", "source")[:100])
    for run in lost:
        if run.lease_token is not None:
            _fail(run, run.lease_token, handler_named(run.handler), WORKER_LOST, False, None)
    return len(lost)


def follow_runs(receipt: Receipt) -> None:
    """Let a receipt's status follow its runs of this round. The caller has locked the receipt.

    One dead run makes it dead, else one that failed makes it failed; when all have succeeded it is
    processed.
    """
    runs = list(HandlerRun.objects.filter(receipt=receipt, round=receipt.round).order_by("handler"))
    statuses = {run.status for run in runs}
    before = (receipt.status, receipt.cause, receipt.detail)
    wrong: HandlerRun | None = None
    for status in (HandlerRun.Status.DEAD, HandlerRun.Status.FAILED):
        wrong = wrong or next((run for run in runs if run.status == status), None)
    if wrong is not None:
        receipt.status = Receipt.Status(wrong.status)
        receipt.cause = wrong.cause
        last_line = wrong.error.rstrip().rpartition("\n")[2]
        receipt.detail = f"{wrong.handler}: {last_line}"[:500]
        if wrong.status == HandlerRun.Status.DEAD and before != (
            receipt.status,
            receipt.cause,
            receipt.detail,
        ):
            receipt.die(clock.now())
    else:
        is_done = statuses <= {HandlerRun.Status.SUCCEEDED}
        receipt.status = Receipt.Status.PROCESSED if is_done else Receipt.Status.PROCESSING
        receipt.cause = receipt.detail = ""
    if before != (receipt.status, receipt.cause, receipt.detail):
        if receipt.status == Receipt.Status.PROCESSED:
            receipt.processed_at = clock.now()
        receipt.save(
            update_fields=[
                "status", "cause", "detail", "processed_at", "dead_at", "fingerprint",
                "discard_reason",
            ]
        )  # fmt: skip


def lock_receipt(receipt_id: UUID) -> Receipt:
    """The receipt, locked: whoever ends a run of it has it, so that of two ends the later sees the
    earlier."""
    rows = Receipt.objects.select_for_update(no_key=True).defer("body", "headers")
    return rows.get(pk=receipt_id)


def _succeed(run: HandlerRun, token: UUID, duration_ms: int) -> None:
    receipt = lock_receipt(run.receipt_id)
    _end(
        run,
        token,
        status=HandlerRun.Status.SUCCEEDED,
        cause="",
        error="",
        duration_ms=duration_ms,
        finished_at=clock.now(),
    )
    if run.round == receipt.round:
        follow_runs(receipt)
    log.info("handler succeeded", run_id=str(run.pk), handler=run.handler,
             receipt_id=str(run.receipt_id), duration_ms=duration_ms)  # fmt: skip


def _fail(
    run: HandlerRun,
    token: UUID,
    handler: Handler | None,
    failed: Failed,
    is_final: bool,
    duration_ms: int | None,
) -> None:
    retry_seconds = handler.retry_seconds if handler else RETRY_SECONDS
    is_dead = is_final or run.attempt_count > len(retry_seconds)
    now = clock.now()
    try:
        with transaction.atomic():
            receipt = lock_receipt(run.receipt_id)
            _end(
                run,
                token,
                status=HandlerRun.Status.DEAD if is_dead else HandlerRun.Status.FAILED,
                next_attempt_at=None
                if is_dead
                else now + timedelta(seconds=retry_seconds[run.attempt_count - 1]),
                cause=failed.cause,
                error=failed.detail,
                duration_ms=duration_ms,
                finished_at=now if is_dead else None,
            )
            if run.round == receipt.round:
                follow_runs(receipt)
            last_line = failed.detail.rstrip().rpartition("\n")[2]
            note_error(receipt, f"{run.handler}: {last_line}", now)
            if is_dead:
                journal.count_activity(
                    account_id=run.account_id,
                    kind="handler.dead",
                    text=f"Handler {run.handler} was given up for receipt {run.receipt_id} after "
                    f"{run.attempt_count} tries: {last_line}",
                    subject=Source(pk=run.source_id),
                )
    except ClaimLost:
        return
    log.info("handler failed", run_id=str(run.pk), handler=run.handler, cause=failed.cause,
             receipt_id=str(run.receipt_id), number=run.attempt_count, dead=is_dead)  # fmt: skip


def _end(run: HandlerRun, token: UUID, **values: Any) -> None:
    """End the claim. Raises ClaimLost where it is no longer ours."""
    if not HandlerRun.objects.filter(pk=run.pk, lease_token=token).update(
        lease_token=None, leased_until=None, **values
    ):
        raise ClaimLost


def _duration_ms(started_at: float) -> int:
    return round((time.monotonic() - started_at) * 1000)


def _is_final(error: BaseException) -> bool:
    # What was pruned does not come back.
    return isinstance(error, GiveUp | BodyPruned)


def _failure(run: HandlerRun, error: BaseException) -> Failed:
    """What is kept of an error: its cause, and its traceback without the source's secrets."""
    if isinstance(error, _NoPayload):
        return Failed(error.failed.cause, error.failed.detail)
    if isinstance(error, HandlerUnknown | BodyPruned):
        return Failed(error.code, str(error))
    cause = "timed_out" if isinstance(error, TimeLimitExceeded) else cause_of(error)
    # The first frame is this module's.
    inner = error.__traceback__.tb_next if error.__traceback__ else None
    lines = traceback.format_exception(type(error), error, inner or error.__traceback__)
    text = mask_of(run.source)("".join(lines)).replace("\x00", "\ufffd")
    text = text.encode("utf-8", "replace").decode()  # a surrogate of its own is no text
    return Failed(cause, text[-MAX_ERROR_LENGTH:])
