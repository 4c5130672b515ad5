"""What follows receipts, written down: all of it in one transaction, or none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from uuid import UUID

import structlog
from django.db import transaction

from incoming.errors import ClaimLost
from incoming.models import HandlerRun, Receipt
from incoming.processing.notes import note_received
from incoming.processing.states import update_states
from incoming.processing.works import Work
from incoming.routing import Handle, Notify, Publish
from incoming.tracing import trace_processed, traceparent_of_events
from monitoring import journal
from outgoing.services import NewEvent, publish_many
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)


@transaction.atomic
def write(works: Sequence[Work], token: UUID) -> None:
    """Write down what follows the receipts. Raises ClaimLost where one is no longer ours."""
    _end(works, token)
    _publish(works)
    _start_runs(works)
    update_states(works)
    _notify(works)
    _mark_same_bodies([work.receipt for work in works])
    note_received([work.receipt for work in works])
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
                source_id=work.receipt.source_id,
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
