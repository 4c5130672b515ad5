"""Circuit breakers: an endpoint that fails too much is let alone, and then tried with one attempt.

While a subscription's breaker is not closed, its deliveries go by the limits of a flow
(outgoing/flows.py), whose one owner starts nothing or one at a time: they wait, nothing is lost,
and no attempt is used up.

The figures cost an endpoint that works nothing but a count in memory. Once one has failed they
stand in its Breaker, for all workers together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction

from monitoring import journal
from outgoing.judge import Delivered
from outgoing.models import Breaker
from outgoing.record import Result
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure
from webhooks_project.lib.sql import select_by_key

log = structlog.get_logger(__name__)

State = Subscription.Breaker
MIN_ATTEMPTS: Final = 10
OPEN_PERCENT: Final = 70
WINDOW_SECONDS: Final = 300
STEP_SECONDS: Final = 10  # figures are kept by this much
WINDOW_STEPS: Final = WINDOW_SECONDS // STEP_SECONDS
OPEN_SECONDS: Final = 30  # then one attempt tries
# Ours alone: the endpoint was not asked.
NOT_ITS_FAULT: Final = frozenset(
    {
        Failure.CANCELLED,
        Failure.UNSIGNABLE,
        Failure.TRANSFORMATION,
        Failure.CREDENTIALS_UNREADABLE,
    }
)

# Successes of this process that stand in no Breaker, by subscription and step: a pump's turn is
# shorter than the window.
_SUCCESSES: dict[UUID, dict[int, int]] = {}


@dataclass(slots=True)
class Seen:
    """What a batch of attempts says of one endpoint; each moment is when an attempt started."""

    succeeded: int = 0
    failed: list[datetime] = field(default_factory=list)
    last_success_at: datetime | None = None


def may_try(state: str, changed_at: datetime | None, now: datetime) -> bool:
    """Whether a breaker that is not closed lets one attempt through now, if none is under way."""
    if state == State.OPEN and changed_at is not None:
        return now - changed_at >= timedelta(seconds=OPEN_SECONDS)
    return True


def half_open(subscription_id: UUID) -> None:
    """Note that one attempt tries an endpoint whose breaker is open."""
    Subscription.objects.filter(pk=subscription_id, breaker=State.OPEN).update(
        breaker=State.HALF_OPEN, breaker_changed_at=clock.now()
    )


def note_results(results: Iterable[Result]) -> set[UUID]:
    """Count attempts that have ended. Returns the subscriptions whose breaker that moved."""
    seen: dict[UUID, Seen] = defaultdict(Seen)
    for result in results:
        if result.response.failure in NOT_ITS_FAULT:
            continue
        facts = seen[result.claim.subscription_id]
        if isinstance(result.step, Delivered):
            facts.succeeded += 1
            facts.last_success_at = max(
                result.started_at, facts.last_success_at or result.started_at
            )
        else:
            facts.failed.append(result.started_at)
    now = clock.now()
    step = _step(now)
    for key, facts in seen.items():
        if facts.succeeded:
            steps = _SUCCESSES.setdefault(key, {})
            steps[step] = steps.get(step, 0) + facts.succeeded
            if len(steps) > WINDOW_STEPS + 1:
                del steps[min(steps)]
    watched = {key for key, facts in seen.items() if facts.failed}
    others = [key for key in seen if key not in watched]
    states = select_by_key(Subscription, others, ("id", "breaker"))
    watched.update(key for key, state in states if state == State.HALF_OPEN)
    return {key for key in sorted(watched) if _note(key, seen[key], now)}


def share_successes() -> None:
    """Add to Breakers what this process alone knows, and forget what is too old to count."""
    now = clock.now()
    oldest = _step(now) - WINDOW_STEPS
    for key in [key for key, steps in _SUCCESSES.items() if max(steps) < oldest]:
        del _SUCCESSES[key]
    if not _SUCCESSES:
        return
    since = now - timedelta(seconds=WINDOW_SECONDS)
    for key in Breaker.objects.filter(last_failed_at__gte=since).values_list("pk", flat=True):
        if key in _SUCCESSES:
            _note(key, Seen(), now)


def _note(key: UUID, facts: Seen, now: datetime) -> bool:
    """Write down what was seen, with what only this process knew. Whether the state moved."""
    successes = _SUCCESSES.get(key, {})
    with transaction.atomic():
        if facts.failed:
            Breaker.objects.bulk_create(
                [Breaker(pk=key, last_failed_at=now)], ignore_conflicts=True
            )
        row = Breaker.objects.select_for_update().filter(pk=key).first()
        subscription = Subscription.objects.filter(pk=key).first()
        if row is None or subscription is None:  # it has never failed, or was deleted meanwhile
            return False
        if row.counted_since != subscription.breaker_changed_at:
            row.figures, row.counted_since = {}, subscription.breaker_changed_at
        steps: dict[int, Sequence[int]] = {int(at): both for at, both in row.figures.items()}
        for at, count in successes.items():
            succeeded, failed = steps.get(at, (0, 0))
            steps[at] = (succeeded + count, failed)
        if facts.failed:
            succeeded, failed = steps.get(_step(now), (0, 0))
            steps[_step(now)] = (succeeded, failed + len(facts.failed))
            row.last_failed_at = now
        oldest = _step(now) - WINDOW_STEPS
        steps = {at: both for at, both in steps.items() if at >= oldest}
        row.figures = {str(at): list(both) for at, both in sorted(steps.items())}
        row.save(update_fields=["figures", "counted_since", "last_failed_at"])
        state = _state_after(subscription, facts, steps)
        moved = state is not None and _move(subscription, state, steps, now)
    _SUCCESSES.pop(key, None)
    return moved


def _state_after(
    subscription: Subscription, facts: Seen, steps: Mapping[int, Sequence[int]]
) -> str | None:
    """The state that the breaker moves to; None where it stays."""
    changed_at = subscription.breaker_changed_at
    if subscription.breaker == State.CLOSED:
        succeeded = sum(both[0] for both in steps.values())
        failed = sum(both[1] for both in steps.values())
        total = succeeded + failed
        opens = total >= MIN_ATTEMPTS and failed * 100 >= OPEN_PERCENT * total
        return State.OPEN if opens and facts.failed else None
    if subscription.breaker == State.HALF_OPEN and changed_at is not None:
        # What began before says nothing of how it is now.
        if facts.last_success_at is not None and facts.last_success_at >= changed_at:
            return State.CLOSED
        if any(at >= changed_at for at in facts.failed):
            return State.OPEN
    return None


def _move(
    subscription: Subscription, state: str, steps: Mapping[int, Sequence[int]], now: datetime
) -> bool:
    """Move the breaker, unless it moved meanwhile."""
    before = subscription.breaker
    locked = Subscription.objects.select_for_update().filter(pk=subscription.pk, breaker=before)
    found = locked.first()
    if found is None or found.breaker_changed_at != subscription.breaker_changed_at:
        return False
    found.breaker, found.breaker_changed_at = state, now
    found.save(update_fields=["breaker", "breaker_changed_at"])
    Breaker.objects.filter(pk=found.pk).update(figures={}, counted_since=now)
    if state == State.CLOSED:
        kind, text = "breaker.closed", f"Deliveries to {found.name} go on: one has succeeded."
    elif before == State.HALF_OPEN:
        kind, text = "breaker.opened", f"{found.name} failed again; it is let alone once more."
    else:
        failed = sum(both[1] for both in steps.values())
        total = sum(sum(both) for both in steps.values())
        kind = "breaker.opened"
        text = f"{failed} of {total} attempts to deliver to {found.name} failed; it is let alone "
        text += f"for {OPEN_SECONDS} seconds and then tried with one."
    journal.record_activity(account_id=found.account_id, kind=kind, text=text, subject=found)
    log.info("breaker moved", subscription_id=str(found.pk), before=before, after=state)
    return True


def _step(moment: datetime) -> int:
    return int(moment.timestamp()) // STEP_SECONDS
