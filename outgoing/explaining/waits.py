"""When a delivery that was due had to wait, because its subscription was let alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monitoring import journal
from outgoing.explaining.steps import Step
from outgoing.models import Attempt, Delivery
from subscriptions.models import Subscription
from webhooks_project.lib import clock

HOLDING: Final = ("subscription.paused", "subscription.disabled")
GOING_ON: Final = ("subscription.active", "subscription.archived")
BREAKER_OPENED: Final = "breaker.opened"
BREAKER_CLOSED: Final = "breaker.closed"


@dataclass(frozen=True, slots=True)
class Span:
    """From when until when; `until` is None where it is so still. `why` is in words."""

    since: datetime
    until: datetime | None
    why: str = ""


def waits_of(delivery: Delivery, attempts: Sequence[Attempt]) -> Iterator[Step]:
    """A step for each time that it was due and its breaker was open, or it was held.

    What is so still is told with how it stands at present.
    """
    due = _due_spans(delivery, attempts)
    if not due:
        return
    subscription = delivery.subscription
    for span in _past(_common(due, _breaker_spans(subscription))):
        yield Step(
            "waited_for_breaker",
            f"it waited: the breaker of {subscription.name} was open",
            span.since, {"since": span.since, "until": span.until},
        )  # fmt: skip
    for span in _past(_common(due, _held_spans(subscription))):
        yield Step(
            "was_held", f"it was held: {span.why}", span.since,
            {"since": span.since, "until": span.until},
        )  # fmt: skip


def _due_spans(delivery: Delivery, attempts: Sequence[Attempt]) -> list[Span]:
    """From when it was due until it was attempted, for each attempt and the one to come."""
    spans = [
        Span(attempt.started_at - timedelta(milliseconds=attempt.queue_wait_ms), attempt.started_at)
        for attempt in attempts
    ]
    waiting = (Delivery.Status.PENDING, Delivery.Status.HELD)
    due_at = delivery.next_attempt_at
    if delivery.status in waiting and due_at <= clock.now() and not hasattr(delivery, "retry"):
        spans.append(Span(due_at, None))
    return spans


def _breaker_spans(subscription: Subscription) -> list[Span]:
    """When its breaker was not closed."""
    spans: list[Span] = []
    since: datetime | None = None
    moves = journal.activities_of(subscription, kinds=(BREAKER_OPENED, BREAKER_CLOSED))
    for kind, at in moves.values_list("kind", "created_at"):
        if kind == BREAKER_OPENED:
            since = since or at
        elif since is not None:
            spans.append(Span(since, at))
            since = None
    if since is not None:
        is_closed = subscription.breaker == Subscription.Breaker.CLOSED
        spans.append(Span(since, subscription.breaker_changed_at if is_closed else None))
    return spans


def _held_spans(subscription: Subscription) -> list[Span]:
    """When it was paused or disabled, and by whom."""
    spans: list[Span] = []
    open_: Span | None = None
    entries = journal.changes_of(subscription).filter(action__in=(*HOLDING, *GOING_ON))
    for entry in entries:
        if open_ is not None:
            spans.append(Span(open_.since, entry.created_at, open_.why))
            open_ = None
        if entry.action in HOLDING:
            word = entry.action.removeprefix("subscription.")
            by = entry.actor_label or entry.actor_kind
            open_ = Span(entry.created_at, None, f"{subscription.name} was {word} by {by}")
    return [*spans, open_] if open_ else spans


def _past(spans: Iterable[Span]) -> Iterator[Span]:
    return (span for span in spans if span.until is not None)


def _common(spans: Iterable[Span], others: Sequence[Span]) -> Iterator[Span]:
    """Where both are so, each with the other's words; moments of no length are none."""
    for span in spans:
        for other in others:
            since = max(span.since, other.since)
            ends = [end for end in (span.until, other.until) if end is not None]
            until = min(ends) if ends else None
            if until is None or since < until:
                yield Span(since, until, other.why)
