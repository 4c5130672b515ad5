"""What one subscription is used for: from indexed ranges of deliveries, and from rollups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any, Final

from django.db.models import Max, Sum

from analytics.models import Rollup
from outgoing.models import Attempt, Delivery
from subscriptions.models import Subscription
from webhooks_project.lib import clock

MAX_COUNTED: Final = 50_000  # deliveries of a period; of more the newest are counted
SAMPLED: Final = 500  # deliveries, the newest, whose attempts give the percentiles
MINUTE: Final = timedelta(minutes=1)
# How many minutes are looked at for each period of a rate, and what part of them one period is.
QUOTA_MINUTES: Final = {"second": (1, 60), "minute": (1, 1), "hour": (60, 1)}

Status = Delivery.Status


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A period of a subscription.

    `matched` are events that it got a delivery of, `failing` deliveries whose last attempt failed
    and that may yet succeed. Percentiles are those of the newest attempts, `sampled` of them; mean
    and maximum are over all. `quota_used` is of `rate_limit`, in the last period that is counted:
    up to two minutes ago.
    """

    since: datetime
    until: datetime
    matched: int
    is_capped: bool
    deliveries: dict[str, int]
    failing: int
    attempts: dict[str, int]
    p50_ms: float | None
    p95_ms: float | None
    mean_ms: float | None
    max_ms: float | None
    sampled: int
    last_success_at: datetime | None
    rate_limit: int | None
    rate_period: str
    quota_used: float
    quota_percent: float | None


def usage_of(subscription: Subscription, *, since: datetime, until: datetime) -> Usage:
    """How the subscription was used in `[since, until)`."""
    rows = Delivery.objects.filter(
        subscription=subscription, created_at__gte=since, created_at__lt=until
    ).order_by("-created_at")
    counted = list(rows.values_list("status", "last_cause")[: MAX_COUNTED + 1])
    is_capped = len(counted) > MAX_COUNTED
    counted = counted[:MAX_COUNTED]
    rollups = Rollup.objects.filter(subscription=subscription).order_by()
    in_period = rollups.filter(minute__gte=since, minute__lt=until)
    durations, last_delivered_at = _sample(rows)
    by_cause = in_period.values_list("cause").annotate(count=Sum("attempts"))
    totals = in_period.aggregate(
        count=Sum("attempts"), duration_ms=Sum("duration_ms_sum"), longest=Max("duration_ms_max")
    )
    used = _used(rollups, subscription.rate_period)
    limit = subscription.rate_limit
    return Usage(
        since=since,
        until=until,
        matched=len(counted),
        is_capped=is_capped,
        deliveries=dict(sorted(Counter(status for status, _ in counted).items())),
        failing=sum(
            bool(cause) and status in (Status.PENDING, Status.DELIVERING, Status.HELD)
            for status, cause in counted
        ),
        attempts={cause or "succeeded": count for cause, count in sorted(by_cause)},
        p50_ms=percentile(durations, 50),
        p95_ms=percentile(durations, 95),
        mean_ms=totals["duration_ms"] / totals["count"] if totals["count"] else None,
        max_ms=totals["longest"],
        sampled=len(durations),
        last_success_at=_last_success(rollups, last_delivered_at),
        rate_limit=limit,
        rate_period=subscription.rate_period,
        quota_used=used,
        quota_percent=round(100 * used / limit, 1) if limit else None,
    )


def percentile(values: list[float], percent: int) -> float | None:
    """The smallest of the sorted values that so many percent are no greater than."""
    return values[max(0, ceil(len(values) * percent / 100) - 1)] if values else None


def _sample(rows: Any) -> tuple[list[float], datetime | None]:
    """The durations of the newest deliveries' attempts, sorted, and when the last succeeded."""
    newest = list(rows.filter(attempt_count__gt=0).values_list("pk", "delivered_at")[:SAMPLED])
    durations = Attempt.objects.filter(delivery__in=[pk for pk, _ in newest]).order_by()
    delivered = [moment for _, moment in newest if moment is not None]
    return sorted(durations.values_list("duration_ms", flat=True)), max(delivered, default=None)


def _last_success(rollups: Any, known: datetime | None) -> datetime | None:
    """To the minute, where it is not among the newest deliveries."""
    minute = rollups.filter(cause="").aggregate(last=Max("minute"))["last"]
    if known is None or (minute is not None and minute > known):
        return minute  # type: ignore[no-any-return]
    return known


def _used(rollups: Any, period: str) -> float:
    minutes, parts = QUOTA_MINUTES[period]
    until = clock.now().replace(second=0, microsecond=0) - MINUTE
    counted = rollups.filter(minute__gte=until - minutes * MINUTE, minute__lt=until)
    attempts: int = counted.aggregate(count=Sum("attempts"))["count"] or 0
    return attempts / parts
