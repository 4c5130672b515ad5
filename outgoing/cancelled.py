"""Noting that deliveries were cancelled, whoever did it, for the activity and /metrics."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from monitoring import journal
from outgoing.models import Delivery
from subscriptions.models import Subscription


def cancel_archived(limit: int) -> int:
    """Give up what is held for subscriptions that are archived, so many at most."""
    held = Delivery.objects.filter(status=Delivery.Status.HELD)
    ids = list(
        held.filter(subscription__status=Subscription.Status.ARCHIVED)
        .order_by()
        .values_list("pk", flat=True)[:limit]
    )
    if not ids:
        return 0
    with transaction.atomic():
        # Another pump that looks at the same moment takes, and counts, others.
        rows = held.filter(pk__in=ids).order_by("pk").select_for_update(skip_locked=True)
        taken = list(rows.values_list("pk", flat=True))
        Delivery.objects.filter(pk__in=taken).update(status=Delivery.Status.CANCELLED)
        note_all_cancelled(taken)
    return len(taken)


def note_cancelled(*, account_id: UUID, subscription_id: UUID, count: int = 1) -> None:
    """Count so many. Part of the caller's transaction."""
    if count:
        journal.count_activity(
            account_id=account_id,
            kind="delivery.cancelled",
            text="Deliveries were cancelled.",  # the line's count says how many
            subject=Subscription(pk=subscription_id),
            times=count,
        )


def note_all_cancelled(ids: Collection[UUID]) -> None:
    """Count these, each with its subscription. Part of the caller's transaction."""
    if not ids:
        return
    rows = Delivery.objects.filter(pk__in=ids).order_by()
    counts = rows.values_list("account", "subscription").annotate(count=Count("pk"))
    for account_id, subscription_id, count in counts:
        note_cancelled(account_id=account_id, subscription_id=subscription_id, count=count)
