"""What follows a receipt, written down: all of it in one transaction, or none."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django import db
from django.db import transaction
from django.db.models import F, Value
from django.db.models.functions import Coalesce, Greatest

from incoming.errors import ClaimLost, StateTooLarge
from incoming.models import HandlerRun, Receipt, Route, Source
from incoming.replays import advance_replays
from incoming.routing import (
    Failed,
    Following,
    Handle,
    Notify,
    Publish,
    Update,
    failed_by,
    what_follows_each,
)
from incoming.tracing import trace_failed, trace_processed, traceparent_of_events
from monitoring import journal
from outgoing.services import NewEvent, publish_many
from webhooks_project.lib import clock
from webhooks_project.lib.errors import DomainError
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)

CLAIM_ROWS: Final = 200
SWEEP_SECONDS: Final = 5.0
REPLAY_SECONDS: Final = 0.5  # how often the replays under way are moved on
# After a failure, seconds to the next try; then the receipt is dead until a person takes it up.
RETRY_SECONDS: Final = (5, 60, 300, 1_800, 7_200)
DATABASE_PAUSE_SECONDS: Final = 0.5
MAX_STATE_BYTES: Final = 64 * 1024
# In an integration's state: when each of its keys was last told, those that went too.
STATE_TIMES: Final = "_updated_at"
# What of a receipt is needed to process it; reading a row costs as much as following it.
NEEDED: Final = (
    "account_id", "source_id", "external_id", "type", "method", "query", "headers", "body",
    "request_id", "received_at", "is_verified", "signed_at", "same_body_as", "round",
    "body_pruned_at", "is_counted",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed receipt and what follows it."""

    receipt: Receipt
    following: Following
    started_at: datetime

    @property
    def occurred_at(self) -> datetime:
        """When the third party told it."""
        return self.receipt.signed_at or self.receipt.received_at


def run_processing_pump(place: Place) -> int:
    """Process receipts until the place's turn is over. Returns how many."""
    processed = 0
    sweep_after = replays_after = 0.0
    while True:
        try:
            if not place.goes_on():
                return processed
            if time.monotonic() >= sweep_after:
                sweep_after = time.monotonic() + SWEEP_SECONDS
                Receipt.objects.all().release_expired(clock.now())
            if time.monotonic() >= replays_after:
                replays_after = time.monotonic() + REPLAY_SECONDS
                _advance_replays()
            count = process_due_receipts()
            processed += count
            if not count:
                time.sleep(POLL_SECONDS)
        except (db.OperationalError, db.InterfaceError) as error:
            log.warning("the database is away", error=str(error)[:200])
            db.close_old_connections()
            time.sleep(DATABASE_PAUSE_SECONDS)


def _advance_replays() -> None:
    try:
        advance_replays(clock.now())
    except (db.OperationalError, db.InterfaceError):
        raise
    except Exception:
        # What is new must not wait for what is old to be mended.
        log.exception("the replays were not moved on")


def process_due_receipts(limit: int = CLAIM_ROWS) -> int:
    """Claim due receipts and process them. Returns how many were claimed.

    What follows them is found out first, their expressions evaluated together; then all of it is
    written in one transaction. Where that fails, each is written in its own, so that one failure
    is not the others'. Those that the time did not reach are given back.
    """
    now = clock.now()
    if not Receipt.objects.all().any_due(now):
        return 0
    token, ids = Receipt.objects.all().claim(now=now, limit=limit)
    if not ids:
        return 0
    works = _find_out(ids, token)
    if not works:
        return len(ids)
    try:
        _write(works, token)
    except db.OperationalError:
        raise
    except Exception as error:
        if len(works) > 1:
            log.info("receipts are processed one by one", count=len(works), error=str(error)[:200])
        for work in works:
            _write_one(work, token)
    return len(ids)


def _find_out(ids: Collection[UUID], token: UUID) -> list[Work]:
    """What follows each claimed receipt; those of which it cannot be told fail here."""
    started_at = clock.now()
    # In the order of their arrival, so that their events are in it too.
    receipts = list(
        Receipt.objects.held_by(token, ids)
        .only(*NEEDED)
        .with_same_body()
        .order_by("received_at", "pk")
    )
    sources = Source.objects.in_bulk({receipt.source_id for receipt in receipts})
    routes = _routes(sources)
    answers = what_follows_each(
        [
            (sources[receipt.source_id], routes.get(receipt.source_id, ()), receipt)
            for receipt in receipts
        ]
    )
    works: list[Work] = []
    left: list[UUID] = []
    for receipt, answer in zip(receipts, answers, strict=True):
        if isinstance(answer, Following):
            works.append(Work(receipt, answer, started_at))
        elif answer is None:
            left.append(receipt.pk)
        else:
            _fail(receipt.pk, token, answer)
    if left:
        Receipt.objects.held_by(token, left).give_back(clock.now())
    return works


def _routes(sources: dict[UUID, Source]) -> dict[UUID, list[Route]]:
    routes: dict[UUID, list[Route]] = {}
    for route in Route.objects.filter(source__in=list(sources), disabled_at=None):
        routes.setdefault(route.source_id, []).append(route)
    return routes


def _write_one(work: Work, token: UUID) -> None:
    receipt_id = work.receipt.pk
    try:
        _write([work], token)
    except db.OperationalError:
        raise
    except ClaimLost:
        log.warning("a receipt's claim was lost", receipt_id=str(receipt_id))
    except Exception as error:
        if not isinstance(error, DomainError):
            log.exception("receipt failed", receipt_id=str(receipt_id))
        _fail(receipt_id, token, failed_by(error))


@transaction.atomic
def _write(works: Sequence[Work], token: UUID) -> None:
    _end(works, token)
    _publish(works)
    _start_runs(works)
    _update_states(works)
    _notify(works)
    _mark_same_bodies([work.receipt for work in works])
    _note_received([work.receipt for work in works])
    trace_processed(works)
    for work in works:
        log.debug("receipt processed", receipt_id=str(work.receipt.pk),
                  action_count=len(work.following.actions),
                  request_id=work.receipt.request_id)  # fmt: skip


def _end(works: Sequence[Work], token: UUID) -> None:
    """End the claims. Raises ClaimLost where one is no longer ours."""
    now = clock.now()
    groups: dict[tuple[int, int, bool, str], list[UUID]] = defaultdict(list)
    for work in works:
        actions = work.following.actions
        event_count = sum(isinstance(action, Publish) for action in actions)
        waits = any(isinstance(action, Handle) for action in actions)
        key = (event_count, len(actions), waits, work.following.detail)
        groups[key].append(work.receipt.pk)
    for (event_count, action_count, waits, detail), ids in groups.items():
        ended = Receipt.objects.held_by(token, ids).update(
            status=Receipt.Status.PROCESSING if waits else Receipt.Status.PROCESSED,
            event_count=event_count,
            action_count=action_count,
            routed_at=now,
            processed_at=None if waits else now,
            cause="",
            detail=detail,
            is_counted=True,
            lease_token=None,
            leased_until=None,
        )
        if ended < len(ids):
            raise ClaimLost


def _publish(works: Sequence[Work]) -> None:
    publish_many(
        [
            NewEvent(
                account_id=work.receipt.account_id,
                type=action.event_type,
                data=work.following.data,
                occurred_at=work.occurred_at,
                correlation_id=work.receipt.request_id,
                causation_id=work.receipt.causation_id,
                traceparent=traceparent_of_events(work.receipt),
            )
            for work in works
            for action in work.following.actions
            if isinstance(action, Publish)
        ]
    )


def _start_runs(works: Sequence[Work]) -> None:
    now = clock.now()
    runs = [
        HandlerRun(
            account_id=work.receipt.account_id,
            source_id=work.receipt.source_id,
            receipt_id=work.receipt.pk,
            handler=action.handler,
            round=work.receipt.round,
            next_attempt_at=now,
            created_at=now,
        )
        for work in works
        for action in work.following.actions
        if isinstance(action, Handle)
    ]
    if runs:
        HandlerRun.objects.bulk_create(runs, batch_size=400)


def _update_states(works: Sequence[Work]) -> None:
    changes: dict[UUID, list[tuple[datetime, Update]]] = defaultdict(list)
    for work in works:
        for action in work.following.actions:
            if isinstance(action, Update):
                changes[work.receipt.source_id].append((work.occurred_at, action))
    if not changes:
        return
    for source in Source.objects.select_for_update(no_key=True).filter(
        pk__in=list(changes)
    ).order_by("pk"):  # fmt: skip
        for moment, update in changes[source.pk]:
            source.state = state_after(source.state, update.changes, moment)
        source.save(update_fields=["state"])


def state_after(state: Any, changes: Any, moment: datetime) -> dict[str, Any]:
    """An integration's state after what was told at that moment; null takes a key out.

    A key stays as it is where something later was told of it. Raises StateTooLarge.
    """
    after = dict(state)
    times: dict[str, str] = dict(after.pop(STATE_TIMES, {}))
    for key, value in changes.items():
        known = times.get(key)
        if key == STATE_TIMES or (known and datetime.fromisoformat(known) > moment):
            continue
        times[key] = moment.isoformat()
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    after[STATE_TIMES] = times
    if len(orjson.dumps(after)) > MAX_STATE_BYTES:
        raise StateTooLarge(f"the state would have more than {MAX_STATE_BYTES} bytes")
    return after


def _notify(works: Sequence[Work]) -> None:
    for work in works:
        for action in work.following.actions:
            if isinstance(action, Notify):
                journal.record_notification(
                    account_id=work.receipt.account_id,
                    kind="receipt.routed",
                    recipients=action.route.recipients,
                    title=action.title,
                    text=action.text,
                    subject=work.receipt,
                )


def _mark_same_bodies(receipts: Iterable[Receipt]) -> None:
    """Note of each an earlier receipt that had the same body under another id, if there is one."""
    found = [
        receipt.pk
        for receipt in receipts
        if receipt.same_body is not None  # type: ignore[attr-defined]
        and receipt.same_body_as is None
    ]
    if found:
        rows = Receipt.objects.filter(pk__in=found)
        rows.update(same_body_as=rows.same_body())


def _note_received(receipts: Iterable[Receipt]) -> None:
    by_source: dict[UUID, list[Receipt]] = defaultdict(list)
    for receipt in receipts:
        by_source[receipt.source_id].append(receipt)
    # In one order everywhere, so that two pumps do not wait for each other.
    for source_id in sorted(by_source):
        _note_source(source_id, by_source[source_id])


def _note_source(source_id: UUID, receipts: Sequence[Receipt]) -> None:
    values: dict[str, Any] = {
        "last_received_at": _latest("last_received_at", receipts),
        "accepted_count": F("accepted_count") + sum(not receipt.is_counted for receipt in receipts),
    }
    verified = [receipt for receipt in receipts if receipt.is_verified]
    if verified:
        values["last_verified_at"] = _latest("last_verified_at", verified)
    Source.objects.filter(pk=source_id).update(**values)


def _latest(column: str, receipts: Sequence[Receipt]) -> Greatest:
    value = Value(max(receipt.received_at for receipt in receipts))
    return Greatest(Coalesce(column, value), value)


@transaction.atomic
def _fail(receipt_id: UUID, token: UUID, failed: Failed) -> None:
    receipt = Receipt.objects.held_by(token, [receipt_id]).select_for_update(no_key=True).first()
    if receipt is None:
        return
    now = clock.now()
    number = receipt.attempt_count + 1
    is_last = number > len(RETRY_SECONDS)
    receipt.status = Receipt.Status.FAILED
    receipt.attempt_count = number
    receipt.cause = failed.cause
    receipt.detail = failed.detail
    if is_last:
        receipt.die(now)
    receipt.next_attempt_at = (
        None if is_last else now + timedelta(seconds=RETRY_SECONDS[number - 1])
    )
    receipt.lease_token = receipt.leased_until = None
    if not receipt.is_counted:
        _note_received([receipt])
        receipt.is_counted = True
    receipt.save(
        update_fields=[
            "status", "attempt_count", "cause", "detail", "next_attempt_at", "lease_token",
            "leased_until", "is_counted", "dead_at", "fingerprint", "discard_reason",
        ]
    )  # fmt: skip
    note_error(receipt, f"{failed.cause}: {failed.detail}", now)
    trace_failed(receipt, failed.cause, now)
    if is_last:
        # A broken route gives up thousands an hour: one line counts them.
        journal.count_activity(
            account_id=receipt.account_id,
            kind="receipt.dead",
            text=f"Receipt {receipt.pk} was given up after {number} tries: "
            f"{failed.cause}: {failed.detail}",
            subject=Source(pk=receipt.source_id),
        )
    log.info("receipt failed", receipt_id=str(receipt_id), number=number, cause=failed.cause,
             error=failed.detail, request_id=receipt.request_id)  # fmt: skip


def note_error(receipt: Receipt, text: str, now: datetime) -> None:
    """Show on the source what went wrong last, and that it did receive."""
    Source.objects.filter(pk=receipt.source_id).update(
        last_error=text[:500],
        last_error_at=now,
        last_received_at=_latest("last_received_at", [receipt]),
    )
