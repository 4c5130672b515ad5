"""A delivery's way in order, from the event's publication to how it stands now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from monitoring import journal
from outgoing.explaining.events import ids_of
from outgoing.explaining.present import steps_at_present
from outgoing.explaining.steps import Step
from outgoing.explaining.waits import waits_of
from outgoing.models import Attempt, Delivery, Event, Replay

REPLAY_HEADER: Final = "webhook-replay"


def timeline_of(delivery: Delivery) -> list[Step]:
    """Every step of it that is known; the last are what is so at present."""
    event = delivery.event
    attempts = list(delivery.attempts.order_by("number").defer("response_body", "response_headers"))
    steps = [
        Step("published", _published(event), event.created_at,
             {"event": event.pk, "occurred_at": event.occurred_at,
              "causation_id": event.causation_id}),
        *_of_quarantine(event),
        _matched(delivery),
        *_of_attempts(attempts),
        *_of_people(delivery),
        *_of_replays(delivery, attempts),
        *waits_of(delivery, attempts),
    ]  # fmt: skip
    # Python's sort keeps the order of what is of the same moment: an attempt comes after its cause.
    dated = sorted(
        (step for step in steps if step.at is not None),
        key=lambda step: (step.at, _ORDER.get(step.kind, 5)),
    )
    return [*dated, *steps_at_present(delivery)]


_ORDER: Final = {"published": 0, "quarantined": 1, "matched": 2, "replayed": 3, "redelivered": 3}


def _published(event: Event) -> str:
    return f"{event.type} was published as {event.webhook_id}"


def _of_quarantine(event: Event) -> Iterator[Step]:
    for entry in journal.changes_of(event):
        if entry.action in ("event.released", "event.dropped", "event.cancelled"):
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


def _of_attempts(attempts: list[Attempt]) -> Iterator[Step]:
    for attempt in attempts:
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


def _of_replays(delivery: Delivery, attempts: list[Attempt]) -> Iterator[Step]:
    """The jobs that took it: the last one by the row, those before by what attempts say."""
    first: dict[UUID, datetime] = {}
    for attempt in attempts:
        for key in ids_of([str(attempt.request_headers.get(REPLAY_HEADER, ""))]):
            first.setdefault(key, attempt.started_at)
    if delivery.replay_id is not None:
        first.setdefault(delivery.replay_id, delivery.next_attempt_at)
    for replay in Replay.objects.filter(pk__in=first).order_by("created_at"):
        yield Step(
            "replayed", f"put in line by a {replay.kind} job of {replay.requested_by or 'the hub'}",
            first[replay.pk], {"replay": replay.pk, "requested_by": replay.requested_by},
        )  # fmt: skip
