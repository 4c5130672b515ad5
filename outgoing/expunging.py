"""Taking a person's data out of events, and of what was sent and answered; the history is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from monitoring import journal
from outgoing import services
from outgoing.models import Attempt, Delivery, Event, SentBody
from outgoing.retention import NO_DATA, NOT_ENDED, empty_attempts
from webhooks_project.lib import clock

EXPUNGED = "expunged"


@dataclass(frozen=True, slots=True)
class ExpungedEvents:
    """What was done. `waiting` are events that were refused: deliveries of them are not ended."""

    events: Sequence[UUID] = ()
    attempts: int = 0
    cancelled: int = 0
    waiting: Sequence[UUID] = field(default_factory=tuple)


def waiting_events(keys: Iterable[UUID], *, cancel: bool = False) -> set[UUID]:
    """Those of the events that are still to be delivered somewhere; with `cancel` those that are
    being delivered at this moment."""
    statuses = [Delivery.Status.DELIVERING] if cancel else NOT_ENDED
    found = Delivery.objects.filter(event__in=list(keys), status__in=statuses)
    return set(found.values_list("event", flat=True))


def cancellable(keys: Iterable[UUID]) -> QuerySet[Delivery]:
    """The deliveries of the events that wait or are held."""
    statuses = (Delivery.Status.PENDING, Delivery.Status.HELD)
    return Delivery.objects.filter(event__in=list(keys), status__in=statuses)


@transaction.atomic
def expunge_events(keys: Sequence[UUID], *, cancel: bool = False) -> ExpungedEvents:
    """Empty the events, all that was noted of their data, and the headers and answers of attempts.

    An event that is still to be delivered is refused; with `cancel`, what waits or is held is
    cancelled first, and only what a worker has at this moment is refused. Each is audited.
    """
    # Locked, so that no worker takes one up meanwhile.
    rows = list(Delivery.objects.select_for_update().filter(event__in=keys).order_by("pk"))
    cancelled = 0
    if cancel:
        for row in rows:
            if row.status in (Delivery.Status.PENDING, Delivery.Status.HELD):
                services.cancel_delivery(delivery=row)
                cancelled += 1
    waiting = waiting_events(keys)
    done = [key for key in keys if key not in waiting]
    _empty_order_keys([row for row in rows if row.event_id not in waiting])
    attempts = Attempt.objects.filter(delivery__event__in=done)
    SentBody.objects.of_events(done).delete()
    count = empty_attempts(attempts)
    attempts.update(detail="")
    for event in Event.objects.filter(pk__in=done).defer("data"):
        _empty(event)
    return ExpungedEvents(done, count, cancelled, sorted(waiting))


def _empty(event: Event) -> None:
    event.data = NO_DATA
    event.metadata = {}
    event.headers = {}
    event.expunged_at = clock.now()
    # What stood at the paths of filters and schemas is the person's, too.
    event.not_matched = [
        {name: value for name, value in item.items() if name != "clauses"}
        for item in event.not_matched
    ]
    event.schema_errors = [{"path": "", "message": EXPUNGED}] if event.schema_errors else []
    event.save(
        update_fields=[
            "data", "metadata", "headers", "expunged_at", "not_matched", "schema_errors",
        ]
    )  # fmt: skip
    journal.record_change(account_id=event.account_id, action="event.expunged", subject=event)


def _empty_order_keys(rows: Sequence[Delivery]) -> None:
    """An order key is a value of the data; what waited behind one that was given up goes on."""
    in_order = {row.subscription_id for row in rows if row.order_key is not None}
    Delivery.objects.filter(pk__in=[row.pk for row in rows], order_key__isnull=False).update(
        order_key=None
    )
    for subscription_id in in_order:
        Delivery.objects.unpark(subscription_id)
