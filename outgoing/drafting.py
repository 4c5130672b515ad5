"""Drafting: what is to be stored of an event. Checked, judged by the catalogue, and matched.

It reads and never writes, so that no transaction has to be open meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

import orjson
from django.utils.timezone import is_aware

from outgoing.acceptable import event_problems
from outgoing.conf import MAX_EVENT_BYTES
from outgoing.errors import (
    REJECTIONS,
    EventNotAcceptable,
    EventTypeMalformed,
    EventTypeReserved,
    OutgoingError,
    PayloadNotJson,
    PayloadTooLarge,
)
from outgoing.models import Event
from outgoing.tracing import traceparent_of_new
from subscriptions.lookup import look_up
from subscriptions.matching import Facts, Hearer, Match, hearers_of, is_event_type
from subscriptions.models import EventType
from subscriptions.operational import is_operational
from subscriptions.schemas import Catalogue, Judgement, Verdict, judge_event
from webhooks_project.acceptable import Problem, is_text, refuse
from webhooks_project.accounts.models import Generations
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import instance_of
from webhooks_project.lib.trace_context import accept_trace

SchemaMode = EventType.SchemaMode

ABOUT_ITSELF: Final = "event_about_itself"  # why a subscription does not get it
TEXTS: Final = (  # that only the database would refuse, and not every one does
    ("idempotency_key", 255),
    ("correlation_id", 64),
    ("causation_id", 128),
    ("schema_version", 16),
)
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
    source_id: UUID | None = None  # that it came in through
    traceparent: str = ""
    tracestate: str = ""
    channels: Sequence[str] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    schema_version: str = ""
    # Of the hub's own events: the subscription that one is about, which does not get it.
    about_subscription: UUID | None = None
    is_of_hub: bool = False  # the hub's own, about something else than a subscription


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not stored yet, and what it means for each subscription that hears it."""

    event: Event
    matches: Sequence[Match] = ()


def draft_events(
    new_events: Sequence[NewEvent], generations: Generations | None = None
) -> list[Draft | OutgoingError]:
    """A draft of each, in the same order, or what it is refused with.

    `generations` are those of accounts, as the call that this is for has read them: what is known
    of them is not asked again.
    """
    now = clock.now()
    refused: dict[int, OutgoingError] = {}
    texts: dict[int, bytes] = {}
    for index, new in enumerate(new_events):
        try:
            texts[index] = _checked_text(new, now)
        except OutgoingError as error:
            refused[index] = error
    asked = {index: (new_events[index], text) for index, text in texts.items()}
    catalogue, hearers = look_up(
        ((new.account_id, new.type, new.schema_version) for new, _ in asked.values()),
        generations=generations,
    )
    judgements = _judge(catalogue, asked)
    events: dict[int, Event] = {}
    for index, judgement in judgements.items():
        if isinstance(judgement, OutgoingError):
            refused[index] = judgement
        else:
            events[index] = _event(new_events[index], texts[index], judgement, now)
    about = {event.pk: new_events[index].about_subscription for index, event in events.items()}
    matches = {
        event.pk: _match(event, hearers[event.account_id, event.type], about[event.pk])
        for event in events.values()
        if not event.quarantined_at
    }
    return [
        refused[index]
        if index in refused
        else Draft(events[index], matches.get(events[index].pk, ()))
        for index in range(len(new_events))
    ]


def match_event(event: Event) -> list[Match]:
    """What the event means for those that hear its type; the reasons are noted in the event."""
    hearers = hearers_of({event.account_id: [event.type]})
    return _match(event, hearers[event.account_id, event.type])


def _match(event: Event, hearers: Sequence[Hearer], about: UUID | None = None) -> list[Match]:
    """`about` is the subscription that an event of the hub's own is about: it does not get it."""
    facts = facts_of(event)
    found = [
        Match(hearer.subscription_id, reason=ABOUT_ITSELF)
        if hearer.subscription_id == about
        else hearer.match(facts)
        for hearer in hearers
    ]
    event.not_matched = [match.as_json() for match in found if match.reason]
    return found


def _checked_text(new: NewEvent, now: datetime) -> bytes:
    """The data as JSON text. Raises what is wrong with the event in itself."""
    if not isinstance(new.type, str) or not is_event_type(new.type):
        raise EventTypeMalformed(f"{str(new.type)[:130]!r} is no event type; such are dotted names")
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
    for name, limit in TEXTS:
        text = getattr(new, name)
        if text and not is_text(text, limit):
            message = f"must be a text of at most {limit} characters, none of them NUL"
            problems.append(Problem("invalid_text", message, field=name))
    for name, moment in (("occurred_at", new.occurred_at), ("deliver_at", new.deliver_at)):
        if moment is not None and not (isinstance(moment, datetime) and is_aware(moment)):
            message = "must be a moment with its time zone"
            problems.append(Problem("invalid_moment", message, field=name))
        elif name == "deliver_at" and moment is not None and moment > now + MAX_AHEAD:
            message = f"is more than {MAX_AHEAD.days} days ahead"
            problems.append(Problem("too_late", message, field=name))
    return problems


def _judge(
    catalogue: Catalogue, asked: Mapping[int, tuple[NewEvent, bytes]]
) -> dict[int, Judgement | OutgoingError]:
    """What the catalogue says of each, and the error of one that it rejects."""
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
    return instance_of(
        Event,
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
        source_id=new.source_id,
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
