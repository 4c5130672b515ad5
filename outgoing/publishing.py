"""Publishing: an event and the duties to deliver it, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import transaction

from outgoing.acceptable import event_problems
from outgoing.conf import MAX_EVENT_BYTES
from outgoing.errors import (
    REJECTIONS,
    EventNotAcceptable,
    EventTypeMalformed,
    EventTypeReserved,
    IdempotencyConflict,
    OutgoingError,
    PayloadNotJson,
    PayloadTooLarge,
)
from outgoing.idempotency import is_repeat
from outgoing.models import Delivery, Event
from outgoing.tracing import trace_published, traceparent_of_new
from subscriptions.matching import Facts, Match, hearers_of, is_event_type
from subscriptions.models import EventType
from subscriptions.operational import is_operational
from subscriptions.schemas import Judgement, Verdict, judge_event, load_catalogue
from webhooks_project.acceptable import Problem, refuse
from webhooks_project.accounts.models import Account
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id, new_id_at
from webhooks_project.lib.trace_context import accept_trace
from webhooks_project.queues import wake

SchemaMode = EventType.SchemaMode

ABOUT_ITSELF: Final = "event_about_itself"  # why a subscription does not get it
MAX_AHEAD: Final = timedelta(days=30)  # how far ahead `deliver_at` may be


@dataclass(frozen=True)
class NewEvent:
    """What is to be published. `data` is any JSON value, or JSON text as bytes, kept exactly."""

    account_id: UUID
    type: str
    data: Any
    idempotency_key: str | None = None
    occurred_at: datetime | None = None
    deliver_at: datetime | None = None
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    tracestate: str = ""
    channels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    schema_version: str = ""
    # Of the hub's own events: the subscription that one is about, which does not get it.
    about_subscription: UUID | None = None
    is_of_hub: bool = False  # the hub's own, about something else than a subscription


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
    for outcome in _publish(new_events):
        if isinstance(outcome, OutgoingError):
            raise outcome
        published.append(outcome)
    return published


@transaction.atomic
def publish_each(new_events: Sequence[NewEvent]) -> list[Published | OutgoingError]:
    """`publish` for each of many, in the same order and one transaction.

    One that is refused keeps no other back, and nothing of it is stored.
    """
    return _publish(new_events)


def _publish(new_events: Sequence[NewEvent]) -> list[Published | OutgoingError]:
    now = clock.now()
    refused: dict[int, OutgoingError] = {}
    texts: dict[int, bytes] = {}
    for index, new in enumerate(new_events):
        try:
            texts[index] = _checked_text(new, now)
        except OutgoingError as error:
            refused[index] = error
    judgements = _judge({index: (new_events[index], text) for index, text in texts.items()})
    events: dict[int, Event] = {}
    for index, judgement in judgements.items():
        if isinstance(judgement, OutgoingError):
            refused[index] = judgement
        else:
            events[index] = _event(new_events[index], texts[index], judgement, now)
    about = {event.pk: new_events[index].about_subscription for index, event in events.items()}
    matches = match_events([event for event in events.values() if not event.quarantined_at], about)
    known = _store(list(events.values()))
    deliveries = deliver_to(
        {key: found for key, found in matches.items() if key not in known},
        {event.pk: event for event in events.values()},
    )
    trace_published([event for event in events.values() if event.pk not in known], now)
    return [
        refused[index]
        if index in refused
        else _outcome(events[index], known.get(events[index].pk), deliveries)
        for index in range(len(new_events))
    ]


def _outcome(
    event: Event, first: Event | None, deliveries: Mapping[UUID, Sequence[Delivery]]
) -> Published | OutgoingError:
    if first is None:
        return Published(event, delivery_ids=tuple(row.pk for row in deliveries.get(event.pk, ())))
    if is_repeat(first, event):
        return Published(first, is_new=False)
    return IdempotencyConflict(
        "the idempotency key was used before, for something else", event=str(first.pk)
    )


def match_events(
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


def deliver_to(
    matches: Mapping[UUID, Sequence[Match]], events: Mapping[UUID, Event]
) -> dict[UUID, list[Delivery]]:
    """Store a delivery for each match without a reason against it, and wake the queue."""
    deliveries = {
        key: [new_delivery(events[key], match) for match in found if not match.reason]
        for key, found in matches.items()
    }
    rows = [row for group in deliveries.values() for row in group]
    Delivery.objects.insert_many(rows)
    if any(row.lane is not None and row.next_attempt_at == row.created_at for row in rows):
        transaction.on_commit(_wake_delivery)
    return deliveries


def _wake_delivery() -> None:
    wake("delivery")


def _checked_text(new: NewEvent, now: datetime) -> bytes:
    """The data as JSON text. Raises what is wrong with the event in itself."""
    if not is_event_type(new.type):
        raise EventTypeMalformed(f"{new.type[:130]!r} is no event type; such are dotted names")
    refuse(_problems(new, now), EventNotAcceptable)
    is_of_hub = new.is_of_hub or new.about_subscription is not None
    if is_operational(new.type) and not is_of_hub:
        raise EventTypeReserved(f"{new.type} is published by the hub alone")
    try:
        if isinstance(new.data, bytes):
            orjson.loads(new.data)
            text = bytes(new.data)
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


def _problems(new: NewEvent, now: datetime) -> list[Problem]:
    problems = event_problems(new.channels, new.metadata, new.headers)
    if new.deliver_at is not None and new.deliver_at > now + MAX_AHEAD:
        message = f"is more than {MAX_AHEAD.days} days ahead"
        problems.append(Problem("too_late", message, field="deliver_at"))
    return problems


def _judge(
    asked: Mapping[int, tuple[NewEvent, bytes]],
) -> dict[int, Judgement | OutgoingError]:
    """What the catalogue says of each, and the error of one that it rejects."""
    catalogue = load_catalogue(
        (new.account_id, new.type, new.schema_version) for new, _ in asked.values()
    )
    found: dict[int, Judgement | OutgoingError] = {}
    for index, (new, text) in asked.items():
        if is_operational(new.type):
            found[index] = Judgement(Verdict.FIT)  # the hub's own stand in no catalogue
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
            found[index] = REJECTIONS[judgement.code](
                judgement.warnings[-1], errors=_shown_errors(judgement)
            )
        else:
            found[index] = judgement
    return found


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
    traceparent, tracestate = accept_trace(new.traceparent, new.tracestate)
    key = new_id()
    return Event(
        id=key,
        account_id=new.account_id,
        type=new.type,
        data=text,
        occurred_at=new.occurred_at or now,
        created_at=now,
        deliver_at=new.deliver_at,
        idempotency_key=new.idempotency_key or None,
        correlation_id=new.correlation_id,
        causation_id=new.causation_id,
        traceparent=traceparent or traceparent_of_new(key),
        tracestate=tracestate,
        channels=list(new.channels),
        metadata=dict(new.metadata),
        headers=dict(new.headers),
        schema_version=judgement.schema_version,
        asked_version=new.schema_version,
        warnings=list(judgement.warnings),
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
    # A batch may repeat a key within itself: the first of them is the one that counts.
    stored = Event.objects.insert_new(events)
    repeated = [event for event in events if event.pk not in stored]
    if not repeated:
        return {}
    firsts = {
        (event.account_id, event.idempotency_key): event
        for event in Event.objects.filter(
            account_id__in={event.account_id for event in repeated},
            idempotency_key__in=[event.idempotency_key for event in repeated],
        )
    }
    return {event.pk: firsts[event.account_id, event.idempotency_key] for event in repeated}


def new_delivery(event: Event, match: Match) -> Delivery:
    """The delivery of an event to one that it matches, not stored yet."""
    # In the order of its subscription it stands where it is due, not where it was published.
    is_later = event.deliver_at is not None and event.deliver_at > event.created_at
    due_at = event.deliver_at if event.deliver_at and is_later else event.created_at
    return Delivery(
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
        created_at=event.created_at,
    )


def _first_lane(match: Match) -> Delivery.Lane:
    return Delivery.Lane.LIMITED if match.is_limited else Delivery.Lane.FIRST
