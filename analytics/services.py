"""Counting attempts by minute."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Count, F, Max, Q, Sum
from django.db.models.functions import TruncMinute

from analytics.models import Rollup
from outgoing.models import Attempt


@transaction.atomic
def rebuild_rollups(*, since: datetime, until: datetime) -> int:
    """Count the minutes in `[since, until)` anew from the attempts. Returns the rows written.

    Both ends are whole minutes. What was counted before for these minutes is replaced, so doing it
    twice gives the same.
    """
    Rollup.objects.filter(minute__gte=since, minute__lt=until).delete()
    rows = (
        Attempt.objects.filter(started_at__gte=since, started_at__lt=until)
        .annotate(
            minute=TruncMinute("started_at"),
            account=F("delivery__account_id"),
            subscription=F("delivery__subscription_id"),
        )
        .values("account", "subscription", "minute", "cause")
        .annotate(
            attempts=Count("pk"),
            first_attempts=Count("pk", filter=Q(number=1)),
            duration_ms_sum=Sum("duration_ms"),
            duration_ms_max=Max("duration_ms"),
        )
        .order_by()
    )
    made = Rollup.objects.bulk_create(
        [
            Rollup(
                account_id=row["account"],
                subscription_id=row["subscription"],
                minute=row["minute"],
                cause=row["cause"],
                attempts=row["attempts"],
                first_attempts=row["first_attempts"],
                duration_ms_sum=row["duration_ms_sum"],
                duration_ms_max=row["duration_ms_max"],
            )
            for row in rows
        ],
        batch_size=400,
    )
    return len(made)
