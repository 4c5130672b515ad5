"""The retry scheduler: puts deliveries back in line when their Retry is due, or a person says."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django import db
from django.db import transaction
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from monitoring import journal
from outgoing.errors import StateNotAllowed
from outgoing.models import Delivery, Retry
from outgoing.querysets import lane_again
from outgoing.replays import Pace
from outgoing.services import cancel_delivery
from webhooks_project.lib import clock
from webhooks_project.pumps import Place
from webhooks_project.queues import wake

log = structlog.get_logger(__name__)

RELEASE_ROWS: Final = 400
LOOK_SECONDS: Final = 0.25  # how late a retry may be released
MAX_POSTPONED: Final = timedelta(days=30)
# Until when from now; what is due later than all of these is "later".
BUCKETS: Final = {
    "overdue": timedelta(0),
    "within_1_minute": timedelta(minutes=1),
    "within_10_minutes": timedelta(minutes=10),
    "within_1_hour": timedelta(hours=1),
    "within_6_hours": timedelta(hours=6),
}


@transaction.atomic
def release_due_retries(now: datetime) -> int:
    """Move due retries, the longest overdue first, back in line. Returns how many.

    Whether the subscription still takes them is seen when they are claimed.
    """
    due = list(Retry.objects.due(now).values_list("pk", flat=True)[:RELEASE_ROWS])
    # The delivery before its Retry, as everybody else locks them: two orders would deadlock.
    locked = list(
        Delivery.objects.filter(pk__in=due)
        .select_for_update(skip_locked=True)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    ids = list(Retry.objects.due(now).filter(pk__in=locked).values_list("pk", flat=True))
    if not ids:
        return 0
    Delivery.objects.filter(pk__in=ids, status=Delivery.Status.PENDING).update(
        lane=lane_again(),
        next_attempt_at=Subquery(Retry.objects.filter(pk=OuterRef("pk")).values("due_at")),
    )
    Retry.objects.filter(pk__in=ids).delete()
    transaction.on_commit(lambda: wake("delivery"))
    return len(ids)


def bring_forward(*, retry: Retry) -> Retry:
    """Make it due now. Raises StateNotAllowed where it was released or cancelled meanwhile."""
    return _move(retry, clock.now(), "retry.brought_forward")


def postpone(*, retry: Retry, until: datetime) -> Retry:
    """Make it due at that moment, thirty days from now at most.

    Raises StateNotAllowed where that is past or too far off, and where the retry was released or
    cancelled meanwhile.
    """
    if not clock.now() < until <= clock.now() + MAX_POSTPONED:
        raise StateNotAllowed("a retry is postponed to a moment in the next thirty days")
    return _move(retry, until, "retry.postponed")


def cancel_retry(*, retry: Retry) -> Delivery:
    """Give up the delivery that waits for it. Raises StateNotAllowed where none does any more."""
    return cancel_delivery(delivery=retry.delivery)


@transaction.atomic
def _move(retry: Retry, due_at: datetime, action: str) -> Retry:
    row = Retry.objects.select_for_update(of=("self",)).filter(pk=retry.pk).first()
    if row is None:
        raise StateNotAllowed("it is no longer in the retry queue")
    before, row.due_at = row.due_at, due_at
    row.save(update_fields=["due_at"])
    journal.record_change(
        account_id=retry.delivery.account_id,
        action=action,
        subject=retry.delivery,
        before={"due_at": before},
        after={"due_at": due_at},
    )
    transaction.on_commit(lambda: wake("retry"))
    return row


def count_by_due_time(retries: QuerySet[Retry]) -> dict[str, int]:
    """How many of the retries are due when: each is in one of BUCKETS, or `later`."""
    now = clock.now()
    counts: dict[str, Any] = {}
    condition = Q()
    for name, span in BUCKETS.items():
        counts[name] = Count("pk", filter=condition & Q(due_at__lte=now + span))
        condition = Q(due_at__gt=now + span)
    found: dict[str, int] = retries.order_by().aggregate(
        **counts, later=Count("pk", filter=condition)
    )
    return found


def run_retry_pump(place: Place) -> int:
    """Release retries at their time, and move replays on, until the place's turn is over.

    Returns how many retries were released.
    """
    released = 0
    pace = Pace()
    while True:
        try:
            if not place.goes_on():
                return released
            now = clock.now()
            pace.advance(now)
            count = release_due_retries(now) if Retry.objects.any_due(now) else 0
            if not count:  # or all that are due are held by others at this moment
                time.sleep(LOOK_SECONDS)
            released += count
        except (db.OperationalError, db.InterfaceError) as error:
            log.warning("the database is away", error=str(error)[:200])
            db.close_old_connections()
            time.sleep(LOOK_SECONDS)
