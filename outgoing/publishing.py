"""Publishing: an event and the duties to deliver it, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction

from outgoing.drafting import Draft, NewEvent, draft_events
from outgoing.errors import FirstNotRead, IdempotencyConflict, OutgoingError
from outgoing.idempotency import is_repeat
from outgoing.models import Delivery, Event
from outgoing.tracing import trace_published
from subscriptions.matching import Match
from webhooks_project.accounts.models import NO_GENERATIONS, Account, Generations
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id, new_id_at
from webhooks_project.lib.sql import instance_of
from webhooks_project.queues import wake

Key = tuple[UUID, str | None]  # an account, and an idempotency key in it


@dataclass(frozen=True)
class Published:
    """An event in the database. `is_new` is False where the idempotency key was met again."""

    event: Event
    is_new: bool = True
    delivery_ids: Sequence[UUID] = field(default_factory=tuple)

    @property
    def warnings(self) -> Sequence[str]:
        """Words of the catalogue about the event's type and data, when it was published."""
        return tuple(self.event.warnings)


def publish(
    *,
    account: Account | UUID,
    type: str,
    data: Any,
    idempotency_key: str | None = None,
    occurred_at: datetime | None = None,
    deliver_at: datetime | None = None,
    correlation_id: str = "",
    causation_id: str = "",
    traceparent: str = "",
    tracestate: str = "",
    channels: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    schema_version: str = "",
) -> Published:
    """Store an event and one delivery for each subscription that matches it.

    Joins the caller's transaction: a rollback publishes nothing, a commit wakes the delivery
    queue. With an idempotency key (unique in the account) the same call again gives the first
    event back. `deliver_at`, at most 30 days ahead, is when the deliveries are due; one that has
    passed means at once. A W3C `traceparent`, with its `tracestate`, is handed on with each
    attempt; one that is not valid is left out. Subscriptions may go by `channels` and by
    `metadata` and `headers`, texts by name; the headers are sent along. `schema_version` is the
    one that the data has: `2.1`, `2` for the latest of that major version, empty for the latest
    of all. An event that does not fit goes into quarantine where its type says so. Raises
    EventTypeMalformed, EventTypeReserved, EventNotAcceptable, PayloadNotJson, PayloadTooLarge,
    IdempotencyConflict and the REJECTIONS; nothing is stored then.
    """
    new = NewEvent(
        account_id=account if isinstance(account, UUID) else account.pk,
        type=type,
        data=data,
        idempotency_key=idempotency_key,
        occurred_at=occurred_at,
        deliver_at=deliver_at,
        correlation_id=correlation_id,
        causation_id=causation_id,
        traceparent=traceparent,
        tracestate=tracestate,
        channels=channels,
        metadata=metadata or {},
        headers=headers or {},
        schema_version=schema_version,
    )
    return publish_many([new])[0]


@transaction.atomic
def publish_many(new_events: Sequence[NewEvent]) -> list[Published]:
    """`publish` for many at once, in the same order: all of them, or none and the first error."""
    published: list[Published] = []
    for outcome in publish_each(new_events):
        if isinstance(outcome, OutgoingError):
            raise outcome
        published.append(outcome)
    return published


def publish_each(new_events: Sequence[NewEvent]) -> list[Published | OutgoingError]:
    """`publish` for each of many, in the same order; those that are stored are so together.

    One that is refused keeps no other back, and nothing of it is stored. In a caller's transaction
    an error of the database spoils that, where nothing of the caller's guards it by a savepoint.
    """
    drafts = draft_events(new_events)
    stored = iter(store_drafts([draft for draft in drafts if isinstance(draft, Draft)]))
    return [next(stored) if isinstance(draft, Draft) else draft for draft in drafts]


def store_drafts(
    drafts: Sequence[Draft], *, generations: Generations = NO_GENERATIONS
) -> list[Published | OutgoingError]:
    """Store the events and their deliveries, all or nothing, and wake the queue.

    What an idempotency key was used for before is not stored again: the first of it is given back,
    or the conflict with it. Raises what the database raises, and StaleGeneration where an account
    has another generation than the one that is given; nothing is stored then.
    """
    found = _store(drafts, generations)
    # What a key was used for has been pruned just now, so that the key is free again.
    gone = [draft for draft, outcome in zip(drafts, found, strict=True) if outcome is None]
    again = iter(_store(gone, generations))
    outcomes = [next(again) if outcome is None else outcome for outcome in found]
    return [outcome or FirstNotRead("what the key was used for is gone") for outcome in outcomes]


def _store(
    drafts: Sequence[Draft], generations: Generations
) -> list[Published | OutgoingError | None]:
    """The same; None where the first of a key was there a moment ago, and is not any more."""
    if not drafts:
        return []
    now = clock.now()
    deliveries: dict[UUID, list[Delivery]] = {}
    for draft in drafts:
        draft.event.created_at = now
        deliveries[draft.event.pk] = _deliveries(draft.event, draft.matches, now)
    rows = [row for group in deliveries.values() for row in group]
    stored = Event.objects.insert_new(
        [draft.event for draft in drafts], rows, generations=generations
    )
    _wake_for([row for row in rows if row.event_id in stored])
    trace_published([draft.event for draft in drafts if draft.event.pk in stored], now)
    repeated = [draft.event for draft in drafts if draft.event.pk not in stored]
    unread: OutgoingError | None = None
    firsts: dict[Key, Event] = {}
    try:
        firsts = _firsts(repeated) if repeated else {}
    except DatabaseError as error:
        if transaction.get_connection().in_atomic_block:
            raise
        # The others are committed, and must hear so.
        unread = FirstNotRead(f"what the key was used for could not be read: {error}"[:300])
    return [
        Published(draft.event, delivery_ids=tuple(row.pk for row in deliveries[draft.event.pk]))
        if draft.event.pk in stored
        else unread or _judged(draft.event, firsts.get(_key(draft.event)))
        for draft in drafts
    ]


def _judged(event: Event, first: Event | None) -> Published | OutgoingError | None:
    if first is None:
        return None
    if first.body_pruned_at or first.expunged_at:
        return IdempotencyConflict(
            "the idempotency key was used before; the data of then is not kept any more, so "
            "whether it was for the same cannot be told",
            event=str(first.pk),
        )
    if is_repeat(first, event):
        return Published(first, is_new=False)
    return IdempotencyConflict(
        "the idempotency key was used before, for something else", event=str(first.pk)
    )


def _firsts(repeated: Sequence[Event]) -> dict[Key, Event]:
    """The events that were there before, by account and idempotency key."""
    found = Event.objects.filter(
        account_id__in={event.account_id for event in repeated},
        idempotency_key__in=[event.idempotency_key for event in repeated],
    )
    return {_key(event): event for event in found}


def _key(event: Event) -> Key:
    return event.account_id, event.idempotency_key


def deliver_to(event: Event, matches: Sequence[Match]) -> None:
    """Store a delivery of a stored event for each match without a reason against it, and wake the
    queue."""
    rows = _deliveries(event, matches, clock.now())
    Delivery.objects.insert_many(rows)
    _wake_for(rows)


def _deliveries(event: Event, matches: Sequence[Match], now: datetime) -> list[Delivery]:
    return [new_delivery(event, match, now) for match in matches if not match.reason]


def _wake_for(rows: Sequence[Delivery]) -> None:
    if any(row.lane is not None and row.next_attempt_at == row.created_at for row in rows):
        transaction.on_commit(_wake_delivery)


def _wake_delivery() -> None:
    wake("delivery")


def new_delivery(event: Event, match: Match, now: datetime) -> Delivery:
    """The delivery of an event to one that it matches, not stored yet."""
    # In the order of its subscription it stands where it is due, not where it was published.
    is_later = event.deliver_at is not None and event.deliver_at > now
    due_at = event.deliver_at if event.deliver_at and is_later else now
    return instance_of(
        Delivery,
        id=new_id_at(due_at) if is_later else new_id(),
        account_id=event.account_id,
        event_id=event.pk,
        subscription_id=match.subscription_id,
        status=Delivery.Status.HELD.value if match.held else Delivery.Status.PENDING.value,
        lane=None if match.held else _first_lane(match).value,
        trigger=Delivery.Trigger.FIRST.value,
        asked_at=due_at if is_later else None,
        order_key=match.order_key,
        next_attempt_at=due_at,
        created_at=now,
    )


def _first_lane(match: Match) -> Delivery.Lane:
    return Delivery.Lane.LIMITED if match.is_limited else Delivery.Lane.FIRST
