"""Publishing events, and what people do with deliveries afterwards."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Q

from monitoring import journal
from outgoing.acceptable import event_problems
from outgoing.conf import MAX_EVENT_BYTES
from outgoing.errors import (
    REJECTIONS,
    EventNotAcceptable,
    EventTypeMalformed,
    EventTypeReserved,
    IdempotencyConflict,
    PayloadNotJson,
    PayloadTooLarge,
    StateNotAllowed,
)
from outgoing.models import Delivery, Event, Retry
from subscriptions.matching import Facts, Match, hearers_of, is_event_type
from subscriptions.models import EventType, Subscription
from subscriptions.operational import is_operational
from subscriptions.schemas import Judgement, Verdict, judge_event, load_catalogue
from webhooks_project.acceptable import refuse
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.sql import insert_instances
from webhooks_project.queues import wake

SchemaMode = EventType.SchemaMode

ABOUT_ITSELF: Final = "event_about_itself"  # why a subscription does not get it
# Deliveries that can be carried again: their event's data is still kept.
HAS_BODY: Final = Q(event__body_pruned_at=None, event__expunged_at=None)


@dataclass(frozen=True)
class NewEvent:
    """What is to be published. `data` is any JSON value, or JSON text as bytes, kept exactly."""

    account_id: UUID
    type: str
    data: Any
    idempotency_key: str | None = None
    occurred_at: datetime | None = None
    correlation_id: str = ""
    causation_id: str = ""
    channels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    schema_version: str = ""
    # Of the hub's own events: the subscription that one is about, which does not get it.
    about_subscription: UUID | None = None


@dataclass(frozen=True)
class Published:
    """An event in the database. `is_new` is False where the idempotency key was met again.

    `warnings` are words of the catalogue about its type and data.
    """

    event: Event
    is_new: bool = True
    delivery_ids: Sequence[UUID] = field(default_factory=tuple)
    warnings: Sequence[str] = ()


def publish(
    *,
    account: Account | UUID,
    type: str,
    data: Any,
    idempotency_key: str | None = None,
    occurred_at: datetime | None = None,
    correlation_id: str = "",
    causation_id: str = "",
    channels: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    schema_version: str = "",
) -> Published:
    """Store an event and one delivery for each subscription that matches it.

    Joins the caller's transaction: a rollback publishes nothing, a commit wakes the delivery
    queue. With an idempotency key (unique in the account) the same call again gives the first
    event back. Subscriptions may go by `channels` and by `metadata` and `headers`, texts by name;
    the headers are sent along. `schema_version` is the one that the data has: `2.1`, `2` for the
    latest of that major version, empty for the latest of all. An event that does not fit goes into
    quarantine where its type says so. Raises EventTypeMalformed, EventTypeReserved,
    EventNotAcceptable, PayloadNotJson, PayloadTooLarge, IdempotencyConflict and the REJECTIONS;
    nothing is stored then.
    """
    new = NewEvent(
        account_id=account if isinstance(account, UUID) else account.pk,
        type=type,
        data=data,
        idempotency_key=idempotency_key,
        occurred_at=occurred_at,
        correlation_id=correlation_id,
        causation_id=causation_id,
        channels=channels,
        metadata=metadata or {},
        headers=headers or {},
        schema_version=schema_version,
    )
    return publish_many([new])[0]


@transaction.atomic
def publish_many(new_events: Sequence[NewEvent]) -> list[Published]:
    """`publish` for many at once, in the same order: all of them, or none and the first error."""
    now = clock.now()
    texts = [_json_text(new) for new in new_events]
    judgements = _judge(new_events, texts)
    events = [
        _event(new, text, judgement, now)
        for new, text, judgement in zip(new_events, texts, judgements, strict=True)
    ]
    about = {
        event.pk: new.about_subscription for new, event in zip(new_events, events, strict=True)
    }
    matches = _match([event for event in events if event.quarantined_at is None], about)
    known = _store(events)
    deliveries = _deliver(
        {key: found for key, found in matches.items() if key not in known},
        {event.pk: event for event in events},
    )
    return [
        Published(known[event.pk], is_new=False, warnings=judgement.warnings)
        if event.pk in known
        else Published(
            event,
            delivery_ids=tuple(row.pk for row in deliveries.get(event.pk, ())),
            warnings=judgement.warnings,
        )
        for event, judgement in zip(events, judgements, strict=True)
    ]


def _match(
    events: Sequence[Event], about: Mapping[UUID, UUID | None] = MappingProxyType({})
) -> dict[UUID, list[Match]]:
    """What each event means for those that hear its type; the reasons are noted in the events.

    `about` are the subscriptions that events of the hub's own are about, which do not get them.
    """
    types: dict[UUID, set[str]] = {}
    for event in events:
        types.setdefault(event.account_id, set()).add(event.type)
    hearers = hearers_of(types)
    matches: dict[UUID, list[Match]] = {}
    for event in events:
        facts = facts_of(event)
        found = [
            Match(hearer.subscription_id, reason=ABOUT_ITSELF)
            if hearer.subscription_id == about.get(event.pk)
            else hearer.match(facts)
            for hearer in hearers[event.account_id, event.type]
        ]
        event.not_matched = [match.as_json() for match in found if match.reason]
        matches[event.pk] = found
    return matches


def _deliver(
    matches: Mapping[UUID, Sequence[Match]], events: Mapping[UUID, Event]
) -> dict[UUID, list[Delivery]]:
    """Store a delivery for each match without a reason against it, and wake the queue."""
    deliveries = {
        key: [_delivery(events[key], match) for match in found if not match.reason]
        for key, found in matches.items()
    }
    rows = [row for group in deliveries.values() for row in group]
    insert_instances(rows)
    if any(row.lane is not None for row in rows):
        transaction.on_commit(_wake_delivery)
    return deliveries


@transaction.atomic
def release_event(*, event: Event) -> Event:
    """Deliver an event in quarantine as it is, to those that match it now.

    Raises StateNotAllowed where it is in none.
    """
    event = _in_quarantine(event)
    event.quarantined_at = None
    matches = _match([event])
    event.save(update_fields=["quarantined_at", "not_matched"])
    _deliver(matches, {event.pk: event})
    journal.record_change(account_id=event.account_id, action="event.released", subject=event)
    return event


@transaction.atomic
def drop_event(*, event: Event) -> Event:
    """End an event's quarantine for good: it stays visible and goes to nobody.

    Raises StateNotAllowed where it is in none.
    """
    event = _in_quarantine(event)
    event.quarantined_at, event.dropped_at = None, clock.now()
    event.save(update_fields=["quarantined_at", "dropped_at"])
    journal.record_change(account_id=event.account_id, action="event.dropped", subject=event)
    return event


def _in_quarantine(event: Event) -> Event:
    found = Event.objects.select_for_update().get(pk=event.pk)
    if found.quarantined_at is None:
        raise StateNotAllowed("only an event in quarantine can be released or dropped")
    return found


def _wake_delivery() -> None:
    wake("delivery")


def _json_text(new: NewEvent) -> bytes:
    if not is_event_type(new.type):
        raise EventTypeMalformed(f"{new.type[:130]!r} is no event type; such are dotted names")
    refuse(event_problems(new.channels, new.metadata, new.headers), EventNotAcceptable)
    if is_operational(new.type) and new.about_subscription is None:
        raise EventTypeReserved(f"{new.type} is published by the hub alone")
    try:
        if isinstance(new.data, bytes):
            orjson.loads(new.data)
            text = new.data
        else:
            text = orjson.dumps(new.data)
            if b"null" in text:
                # It may stand for a NaN or an infinity, which orjson writes so.
                json.dumps(new.data, allow_nan=False, default=str)
    except (TypeError, ValueError) as error:
        raise PayloadNotJson(f"the data is not JSON: {error}") from error
    if len(text) > MAX_EVENT_BYTES:
        raise PayloadTooLarge(f"the data has {len(text)} bytes; {MAX_EVENT_BYTES} are allowed")
    return text


def _judge(new_events: Sequence[NewEvent], texts: Sequence[bytes]) -> list[Judgement]:
    """What the catalogue says of each. Raises the error of the first that is rejected."""
    catalogue = load_catalogue((new.account_id, new.type, new.schema_version) for new in new_events)
    judgements = []
    for new, text in zip(new_events, texts, strict=True):
        if is_operational(new.type):
            judgements.append(Judgement(Verdict.FIT))  # the hub's own stand in no catalogue
            continue
        known = catalogue.types.get((new.account_id, new.type))
        is_checked = known is not None and known.schemas and known.mode != SchemaMode.OFF
        judgement = judge_event(
            catalogue,
            account_id=new.account_id,
            type=new.type,
            data=orjson.loads(text) if is_checked else None,
            version=new.schema_version,
        )
        if judgement.verdict == Verdict.REJECT and not _was_published(new):
            raise REJECTIONS[judgement.code](
                judgement.warnings[-1], errors=_shown_errors(judgement)
            )
        judgements.append(judgement)
    return judgements


def _was_published(new: NewEvent) -> bool:
    """Whether this is a call made again, whose first answer counts whatever is in force now."""
    return (
        bool(new.idempotency_key)
        and Event.objects.filter(
            account_id=new.account_id, idempotency_key=new.idempotency_key
        ).exists()
    )


def _shown_errors(judgement: Judgement) -> list[dict[str, str]]:
    return [{"path": error.path, "message": error.message} for error in judgement.errors]


def _event(new: NewEvent, text: bytes, judgement: Judgement, now: datetime) -> Event:
    return Event(
        account_id=new.account_id,
        type=new.type,
        data=text,
        occurred_at=new.occurred_at or now,
        created_at=now,
        idempotency_key=new.idempotency_key or None,
        correlation_id=new.correlation_id,
        causation_id=new.causation_id,
        channels=list(new.channels),
        metadata=dict(new.metadata),
        headers=dict(new.headers),
        schema_version=judgement.schema_version,
        schema_errors=_shown_errors(judgement),
        quarantined_at=now if judgement.verdict == Verdict.QUARANTINE else None,
    )


def facts_of(event: Event) -> Facts:
    """What subscriptions are matched with."""
    return Facts(
        type=event.type,
        parse=partial(orjson.loads, bytes(event.data)),
        channels=event.channels,
        metadata=event.metadata,
        headers=event.headers,
        schema_version=event.schema_version,
    )


def _store(events: Sequence[Event]) -> dict[UUID, Event]:
    """Insert the events; of those whose key is known, the event that was there before.

    The database decides who is first, so that two callers at the same moment cannot both be. The
    key of the mapping is the id that was made for the repeated one.
    """
    plain = [event for event in events if event.idempotency_key is None]
    insert_instances(plain)
    keyed = [event for event in events if event.idempotency_key is not None]
    if not keyed:
        return {}
    # A batch may repeat a key within itself: the first of them is the one that counts.
    Event.objects.bulk_create(keyed, batch_size=400, ignore_conflicts=True)
    stored = {
        (event.account_id, event.idempotency_key): event
        for event in Event.objects.filter(
            account_id__in={event.account_id for event in keyed},
            idempotency_key__in=[event.idempotency_key for event in keyed],
        )
    }
    known: dict[UUID, Event] = {}
    for event in keyed:
        first = stored[event.account_id, event.idempotency_key]
        if first.pk == event.pk:
            continue
        if first.type != event.type or bytes(first.data) != bytes(event.data):
            raise IdempotencyConflict(
                "the idempotency key was used before, with another type or other data",
                event=str(first.pk),
            )
        known[event.pk] = first
    return known


def _delivery(event: Event, match: Match) -> Delivery:
    return Delivery(
        account_id=event.account_id,
        event_id=event.pk,
        subscription_id=match.subscription_id,
        status=Delivery.Status.HELD.value if match.held else Delivery.Status.PENDING.value,
        lane=None if match.held else _first_lane(match).value,
        trigger=Delivery.Trigger.FIRST.value,
        order_key=match.order_key,
        next_attempt_at=event.created_at,
        created_at=event.created_at,
    )


def _first_lane(match: Match) -> Delivery.Lane:
    return Delivery.Lane.LIMITED if match.is_limited else Delivery.Lane.FIRST


@transaction.atomic
def redeliver(
    *,
    deliveries: Iterable[UUID],
    trigger: Delivery.Trigger = Delivery.Trigger.REDELIVER,
    replay_id: UUID | None = None,
    statuses: Sequence[str] = (),
) -> list[UUID]:
    """Carry deliveries again from the start of the retry schedule, with the same `webhook-id`.

    Delivered, exhausted, cancelled and waiting ones are taken, or only those of `statuses`; those
    being delivered at this moment and those whose event's data is gone are left alone, and those
    of a subscription that is paused or disabled become held. Returns the ids of those taken.
    """
    now = clock.now()
    wanted = Q(status__in=list(statuses)) if statuses else Q()
    rows = list(
        Delivery.objects.select_for_update(of=("self",))
        .filter(wanted, HAS_BODY, pk__in=list(deliveries))
        .exclude(status=Delivery.Status.DELIVERING)
        .exclude(subscription__status=Subscription.Status.ARCHIVED)
        .select_related("subscription")
    )
    Retry.objects.filter(delivery__in=[row.pk for row in rows]).delete()
    for row in rows:
        held = row.subscription.status in Subscription.HOLDING
        row.status = Delivery.Status.HELD if held else Delivery.Status.PENDING
        row.lane = None if held else _again_lane(row.subscription)
        row.trigger = trigger
        row.attempts_before = row.attempt_count
        row.next_attempt_at = row.asked_at = now
        row.discard_reason = ""
        row.replay_id = replay_id or row.replay_id
    Delivery.objects.bulk_update(
        rows,
        [
            "status", "lane", "trigger", "attempts_before", "next_attempt_at", "asked_at",
            "replay", "discard_reason",
        ],
        batch_size=200,
    )  # fmt: skip
    if any(row.lane is not None for row in rows):
        transaction.on_commit(_wake_delivery)
    return [row.pk for row in rows]


def _again_lane(subscription: Subscription) -> Delivery.Lane:
    return Delivery.Lane.LIMITED if subscription.is_limited else Delivery.Lane.AGAIN


@transaction.atomic
def deliver_later(*, event: Event, matches: Sequence[Match], replay_id: UUID) -> int:
    """Make the deliveries that an old event lacks, behind first attempts. Returns how many.

    One that has come about meanwhile is passed over.
    """
    now = clock.now()
    rows = [_delivery(event, match) for match in matches]
    for row in rows:
        row.lane = Delivery.Lane.AGAIN if row.lane == Delivery.Lane.FIRST else row.lane
        row.trigger, row.replay_id = Delivery.Trigger.REPLAY, replay_id
        row.next_attempt_at = row.created_at = now
    Delivery.objects.bulk_create(rows, batch_size=400, ignore_conflicts=True)
    if any(row.lane is not None for row in rows):
        transaction.on_commit(_wake_delivery)
    return Delivery.objects.filter(pk__in=[row.pk for row in rows]).count()


def about_itself(event: Event) -> set[UUID]:
    """The subscriptions that one of the hub's own events is about, which do not get it."""
    return {
        UUID(item["subscription"])
        for item in event.not_matched
        if item.get("reason") == ABOUT_ITSELF
    }


@transaction.atomic
def redeliver_one(*, delivery: Delivery) -> Delivery:
    """Redeliver one, on a person's word. Raises StateNotAllowed where that cannot be."""
    if not redeliver(deliveries=[delivery.pk]):
        raise StateNotAllowed(
            "it is being delivered at this moment, its subscription is archived, or its event's "
            "data is not kept any more"
        )
    journal.record_change(
        account_id=delivery.account_id, action="delivery.redelivered", subject=delivery
    )
    delivery.refresh_from_db()
    return delivery


@transaction.atomic
def cancel_delivery(*, delivery: Delivery) -> Delivery:
    """Give a waiting, held or exhausted delivery up. Raises StateNotAllowed for any other.

    What waited behind it in its order is put in line.
    """
    waiting = [Delivery.Status.PENDING, Delivery.Status.HELD, Delivery.Status.EXHAUSTED]
    if not Delivery.objects.filter(pk=delivery.pk, status__in=waiting).update(
        status=Delivery.Status.CANCELLED, lane=None
    ):
        raise StateNotAllowed("only a pending, held or exhausted delivery can be cancelled")
    Retry.objects.filter(delivery=delivery.pk).delete()
    if delivery.order_key is not None:
        Delivery.objects.unpark_after([delivery.pk])
    journal.record_change(
        account_id=delivery.account_id, action="delivery.cancelled", subject=delivery
    )
    delivery.refresh_from_db()
    return delivery
