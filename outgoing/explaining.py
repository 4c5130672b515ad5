"""What became of an event, and of a delivery: every step that is known, in order; reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from monitoring import journal
from outgoing.endpoints import PERIODS
from outgoing.models import Attempt, Delivery, Event, Flow, Replay
from outgoing.services import facts_of
from subscriptions.matching import Match, who_would_get
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.rates import RateLimit
from webhooks_project.lib.windows import parse_window

MAX_OTHERS: Final = 1_000  # subscriptions that are told although they do not hear the type
REPLAY_HEADER: Final = "webhook-replay"


@dataclass(frozen=True, slots=True)
class Considered:
    """What became of an event at one subscription.

    `outcome`: delivery, not_matched (it heard the type when the event was published, and `reason`
    says what was in the way), quarantined, created_later, or not_heard. `matches_now` tells whether
    a replay of what is missing would make a delivery; `reason_now` why not.
    """

    subscription: Subscription
    outcome: str
    reason: str = ""
    clauses: Sequence[Mapping[str, Any]] = ()
    delivery: Delivery | None = None
    matches_now: bool = False
    reason_now: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a delivery's way. `at` is None for what is so at present; `facts` are its parts,
    such as `number`, `cause`, `due_at`, `actor`, `replay`, `delivery`."""

    kind: str
    text: str
    at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


# --- an event -------------------------------------------------------------------------------------


def explain_event(event: Event) -> list[Considered]:
    """Every subscription of the account, those that got a delivery first, and why others did not.

    Of those that have nothing to do with the type MAX_OTHERS are told.
    """
    deliveries = {
        row.subscription_id: row
        for row in event.deliveries.select_related("subscription").order_by("created_at", "pk")
    }
    not_matched = {
        str(item["subscription"]): item
        for item in event.not_matched
        if isinstance(item, dict) and "subscription" in item
    }
    now = _matches_now(event)
    told = {*deliveries, *_ids(not_matched), *now}
    subscriptions = Subscription.objects.in_bulk(told)
    others = Subscription.objects.filter(account=event.account_id).exclude(pk__in=told)
    found = [*subscriptions.values(), *others.order_by("name", "pk")[:MAX_OTHERS]]
    rows = [
        _considered(event, row, deliveries.get(row.pk), not_matched.get(str(row.pk)),
                    now.get(row.pk))
        for row in found
    ]  # fmt: skip
    return sorted(
        rows,
        key=lambda row: (
            _OUTCOMES.index(row.outcome), row.subscription.name, row.subscription.pk,
        ),
    )  # fmt: skip


_OUTCOMES: Final = ("delivery", "not_matched", "quarantined", "created_later", "not_heard")


def _matches_now(event: Event) -> dict[UUID, Match]:
    if not event.has_body:
        return {}
    found = who_would_get(account_id=event.account_id, facts=facts_of(event))
    return {match.subscription_id: match for match in found}


def _ids(texts: Mapping[str, Any]) -> Iterator[UUID]:
    for text in texts:
        try:
            yield UUID(text)
        except ValueError:
            continue


def _considered(
    event: Event,
    subscription: Subscription,
    delivery: Delivery | None,
    noted: Mapping[str, Any] | None,
    match: Match | None,
) -> Considered:
    reason = str(noted.get("reason", "")) if noted else ""
    clauses = noted.get("clauses", ()) if noted else ()
    if delivery is not None:
        return Considered(subscription, "delivery", reason, clauses, delivery)
    state = "quarantined" if event.quarantined_at else "dropped" if event.dropped_at else ""
    reason_now = (match.reason or state) if match else "event_type"
    if not event.has_body:
        reason_now = "body_pruned"
    if noted:
        outcome = "not_matched"
    elif match is not None and state:
        outcome, reason = "quarantined", state
    elif subscription.created_at > event.created_at:
        outcome, reason = "created_later", "created_later"
    else:
        outcome, reason = "not_heard", "event_type"
    return Considered(
        subscription, outcome, reason, clauses,
        matches_now=not reason_now, reason_now=reason_now,
    )  # fmt: skip


# --- a delivery -----------------------------------------------------------------------------------


def timeline_of(delivery: Delivery) -> list[Step]:
    """The delivery's way in order, from the event's publication to how it stands now."""
    event = delivery.event
    steps = [
        Step("published", _published(event), event.created_at,
             {"event": event.pk, "occurred_at": event.occurred_at,
              "causation_id": event.causation_id}),
        *_of_quarantine(event),
        _matched(delivery),
        *_of_attempts(delivery),
        *_of_people(delivery),
        *_of_replays(delivery),
    ]  # fmt: skip
    # Python's sort keeps the order of what is of the same moment: an attempt comes after its cause.
    dated = sorted(
        (step for step in steps if step.at is not None),
        key=lambda step: (step.at, _ORDER.get(step.kind, 5)),
    )
    return [*dated, *_at_present(delivery)]


_ORDER: Final = {"published": 0, "quarantined": 1, "matched": 2, "replayed": 3, "redelivered": 3}


def _published(event: Event) -> str:
    return f"{event.type} was published as {event.webhook_id}"


def _of_quarantine(event: Event) -> Iterator[Step]:
    for entry in journal.changes_of(event):
        if entry.action in ("event.released", "event.dropped"):
            word = entry.action.removeprefix("event.")
            yield Step(word, f"{word} by {entry.actor_label}", entry.created_at,
                       {"actor": entry.actor_label})  # fmt: skip


def _matched(delivery: Delivery) -> Step:
    name = delivery.subscription.name
    late = delivery.created_at > delivery.event.created_at
    text = f"a delivery to {name} was made"
    return Step(
        "matched", f"{text}, which had not got the event" if late else text, delivery.created_at,
        {"subscription": delivery.subscription_id},
    )  # fmt: skip


def _of_attempts(delivery: Delivery) -> Iterator[Step]:
    for attempt in delivery.attempts.order_by("number").defer("response_body", "response_headers"):
        succeeded = attempt.outcome == Attempt.Outcome.SUCCEEDED
        answer = attempt.status_code or attempt.cause
        replay = attempt.request_headers.get(REPLAY_HEADER)
        text = f"attempt {attempt.number} ({attempt.trigger}) {attempt.outcome}: {answer}"
        facts: dict[str, Any] = {
            "attempt": attempt.pk,
            "number": attempt.number,
            "trigger": attempt.trigger,
            "outcome": attempt.outcome,
            "cause": attempt.cause,
            "status_code": attempt.status_code,
            "duration_ms": attempt.duration_ms,
            "queue_wait_ms": attempt.queue_wait_ms,
        }
        if replay:
            facts["replay"] = replay
        yield Step("attempted" if succeeded else "failed", text, attempt.started_at, facts)


def _of_people(delivery: Delivery) -> Iterator[Step]:
    for entry in journal.changes_of(delivery):
        kind = entry.action.rpartition(".")[2]
        word = kind.replace("_", " ")
        yield Step(
            kind, f"{word} by {entry.actor_label or entry.actor_kind}",
            entry.created_at, {"actor": entry.actor_label, "actor_kind": entry.actor_kind},
        )  # fmt: skip


def _of_replays(delivery: Delivery) -> Iterator[Step]:
    """The jobs that took it: the last one by the row, those before by what attempts say."""
    first: dict[UUID, datetime] = {}
    for attempt in delivery.attempts.order_by("number").only("request_headers", "started_at"):
        for key in _ids({str(attempt.request_headers.get(REPLAY_HEADER, "")): None}):
            first.setdefault(key, attempt.started_at)
    if delivery.replay_id is not None:
        first.setdefault(delivery.replay_id, delivery.next_attempt_at)
    for replay in Replay.objects.filter(pk__in=first).order_by("created_at"):
        yield Step(
            "replayed", f"put in line by a {replay.kind} job of {replay.requested_by or 'the hub'}",
            first[replay.pk], {"replay": replay.pk, "requested_by": replay.requested_by},
        )  # fmt: skip


# --- how it stands now ----------------------------------------------------------------------------


def _at_present(delivery: Delivery) -> list[Step]:
    match delivery.status:
        case Delivery.Status.DELIVERED:
            return [Step("delivered", "it was delivered", delivery.delivered_at)]
        case Delivery.Status.EXHAUSTED:
            return [Step("exhausted", f"it was given up: {delivery.last_cause}",
                         facts={"cause": delivery.last_cause})]  # fmt: skip
        case Delivery.Status.CANCELLED:
            cause = f": {delivery.last_cause}" if delivery.last_cause else ""
            return [Step("cancelled", f"it is cancelled{cause}",
                         facts={"cause": delivery.last_cause})]  # fmt: skip
        case Delivery.Status.HELD:
            return [_held(delivery)]
        case Delivery.Status.DELIVERING:
            return [Step("claimed", "a worker has it", facts={"until": delivery.leased_until})]
    retry = getattr(delivery, "retry", None)
    if retry is not None:
        return [Step("retry", f"attempt {retry.number} is due, after {retry.cause}",
                     facts={"number": retry.number, "cause": retry.cause,
                            "due_at": retry.due_at})]  # fmt: skip
    return [_waiting(delivery)]


def _held(delivery: Delivery) -> Step:
    subscription = delivery.subscription
    since = subscription.paused_at or subscription.disabled_at
    since = max(delivery.created_at, since) if since else delivery.created_at
    return Step("held", f"it is held: the subscription is {subscription.status}",
                facts={"since": since, "reason": subscription.status_reason})  # fmt: skip


def _waiting(delivery: Delivery) -> Step:
    """Why one that is pending is not under way."""
    subscription = delivery.subscription
    if delivery.order_key is not None and delivery.lane in (None, Delivery.Lane.LIMITED):
        before = (
            Delivery.objects.filter(
                subscription=subscription, order_key=delivery.order_key, pk__lt=delivery.pk
            )
            .exclude(status__in=(Delivery.Status.DELIVERED, Delivery.Status.CANCELLED))
            .order_by("pk")
            .first()
        )
        if before is not None:
            return Step(
                "parked", f"it waits for delivery {before.pk} of its order key, which is "
                f"{before.status}",
                facts={"delivery": before.pk, "order_key": delivery.order_key},
            )  # fmt: skip
    now = clock.now()
    if delivery.next_attempt_at > now:
        return Step(
            "scheduled", "its time has not come", facts={"due_at": delivery.next_attempt_at}
        )
    limit = _limit_before(subscription, now) if delivery.lane == Delivery.Lane.LIMITED else None
    return limit or Step("in_line", "it stands in line", facts={"since": delivery.next_attempt_at})


def _limit_before(subscription: Subscription, now: datetime) -> Step | None:
    """Which limit of its subscription it waits for, as far as that can be seen."""
    if subscription.delivery_window is not None:
        window = parse_window(subscription.delivery_window)
        if not window.is_open(now):
            return Step("waits_for_window", "the delivery window is closed",
                        facts={"until": window.next_opening(now)})  # fmt: skip
    if subscription.rate_limit is not None:
        rate = RateLimit(subscription.rate_limit, PERIODS[subscription.rate_period])
        flow = Flow.objects.filter(pk=subscription.pk).first()
        rate.restore(flow.starts if flow else [])
        if not rate.available(now.timestamp()):
            until = clock.from_unix(rate.next_at(now.timestamp()))
            return Step("waits_for_rate", "the subscription's rate is used up",
                        facts={"until": until})  # fmt: skip
    if subscription.batch_size > 1:
        return Step("waits_for_batch", "it waits for its batch to be full",
                    facts={"batch_size": subscription.batch_size,
                           "batch_seconds": subscription.batch_seconds})  # fmt: skip
    return None


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as JSON has them."""
    shown_: dict[str, Any] = orjson.loads(
        orjson.dumps(dict(values), default=str, option=orjson.OPT_UTC_Z)
    )
    return shown_
