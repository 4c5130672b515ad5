"""The retry scheduler: puts deliveries back in line when their Retry is due."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Final

import structlog
from django import db
from django.db import transaction
from django.db.models import Case, Exists, OuterRef, Subquery, Value, When

from monitoring import journal
from outgoing.errors import StateNotAllowed
from outgoing.models import Delivery, Retry
from outgoing.replays import Pace
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.pumps import Place
from webhooks_project.queues import wake

log = structlog.get_logger(__name__)

RELEASE_ROWS: Final = 400
LOOK_SECONDS: Final = 0.25  # how late a retry may be released


@transaction.atomic
def release_due_retries(now: datetime) -> int:
    """Move due retries, the longest overdue first, back in line. Returns how many.

    Whether the subscription still takes them is seen when they are claimed.
    """
    ids = list(
        Retry.objects.due(now)
        .select_for_update(skip_locked=True)
        .values_list("pk", flat=True)[:RELEASE_ROWS]
    )
    if not ids:
        return 0
    Delivery.objects.filter(pk__in=ids, status=Delivery.Status.PENDING).update(
        lane=Case(
            When(
                Exists(Subscription.objects.filter(pk=OuterRef("subscription"), is_limited=True)),
                then=Value(Delivery.Lane.LIMITED),
            ),
            default=Value(Delivery.Lane.AGAIN),
        ),
        next_attempt_at=Subquery(Retry.objects.filter(pk=OuterRef("pk")).values("due_at")),
    )
    Retry.objects.filter(pk__in=ids).delete()
    transaction.on_commit(lambda: wake("delivery"))
    return len(ids)


@transaction.atomic
def bring_forward(*, retry: Retry) -> Retry:
    """Make it due now. Raises StateNotAllowed where it was released or cancelled meanwhile."""
    row = Retry.objects.select_for_update(of=("self",)).filter(pk=retry.pk).first()
    if row is None:
        raise StateNotAllowed("it is no longer in the retry queue")
    before, row.due_at = row.due_at, clock.now()
    row.save(update_fields=["due_at"])
    journal.record_change(
        account_id=retry.delivery.account_id,
        action="retry.brought_forward",
        subject=retry.delivery,
        before={"due_at": before},
        after={"due_at": row.due_at},
    )
    transaction.on_commit(lambda: wake("retry"))
    return row


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
            if Retry.objects.any_due(now):
                released += release_due_retries(now)
            else:
                time.sleep(LOOK_SECONDS)
        except (db.OperationalError, db.InterfaceError) as error:
            log.warning("the database is away", error=str(error)[:200])
            db.close_old_connections()
            time.sleep(LOOK_SECONDS)
