"""Taking up a subscription again, with or without what was held for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import transaction

from monitoring import journal
from outgoing.cancelled import note_cancelled
from outgoing.models import Delivery, Retry
from subscriptions.errors import StateNotAllowed
from subscriptions.models import Subscription
from subscriptions.services import set_status

SKIPPED: Final = "skipped_on_resume"  # the cause of what was cancelled


@dataclass(frozen=True, slots=True)
class Resumed:
    """The subscription, active, and how many of its deliveries were skipped."""

    subscription: Subscription
    skipped_count: int = 0


@transaction.atomic
def resume_subscription(
    *, subscription: Subscription, skip_older_than: datetime | None = None
) -> Resumed:
    """Make a paused or disabled one active: what was held goes out, the oldest first.

    With `skip_older_than`, what was held and was made before that moment is cancelled instead.
    Raises StateNotAllowed.
    """
    row = Subscription.objects.select_for_update().get(pk=subscription.pk)
    if row.status not in (
        Subscription.Status.PAUSED,
        Subscription.Status.DISABLED,
        Subscription.Status.ACTIVE,
    ):
        raise StateNotAllowed(
            f"it is {row.status}; what is paused or disabled is resumed", present_status=row.status
        )
    if row.status == Subscription.Status.ACTIVE:
        return Resumed(row)
    skipped_count = _skip(row, skip_older_than) if skip_older_than else 0
    return Resumed(set_status(subscription=row, status=Subscription.Status.ACTIVE), skipped_count)


def _skip(subscription: Subscription, before: datetime) -> int:
    """Cancel what waits: held, or still in line and not yet seen to be of one that is paused."""
    waiting = Delivery.objects.filter(
        subscription=subscription,
        status__in=[Delivery.Status.HELD, Delivery.Status.PENDING],
        created_at__lt=before,
    )
    Retry.objects.filter(delivery__in=waiting).delete()
    count = waiting.update(status=Delivery.Status.CANCELLED, lane=None, last_cause=SKIPPED)
    note_cancelled(account_id=subscription.account_id, subscription_id=subscription.pk, count=count)
    journal.record_change(
        account_id=subscription.account_id,
        action="subscription.deliveries_skipped",
        subject=subscription,
        after={"older_than": before, "count": count},
    )
    return count
