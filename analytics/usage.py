"""What one subscription is used for: from indexed ranges of deliveries, and from rollups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Sum

from analytics.last_success import last_successes
from analytics.models import SUCCEEDED, Rollup, Scope
from analytics.periods import Grain
from analytics.query import Dimension, Measure, Query, Value, answer
from outgoing.models import Delivery
from subscriptions.models import Subscription
from webhooks_project.lib import clock

MAX_COUNTED: Final = 50_000  # deliveries of a period; of more the newest are counted
NEWEST: Final = 500  # deliveries, in which the last success is looked for
MINUTE: Final = timedelta(minutes=1)
# How many minutes are looked at for each period of a rate, and what part of them one period is.
QUOTA_MINUTES: Final = {"second": (1, 60), "minute": (1, 1), "hour": (60, 1)}

Status = Delivery.Status


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A period of a subscription.

    `matched` are events that it got a delivery of, `failing` deliveries whose last attempt failed
    and that may yet succeed. Percentiles, mean and maximum are over all `sampled` attempts of the
    period's minutes. `quota_used` is of `rate_limit`, in the last period that is counted: up to two
    minutes ago.
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
    figures = _figures(subscription, since, until)
    by_cause = {
        row.keys[Dimension.CAUSE]: int(row.values[Measure.ATTEMPTS] or 0)
        for row in answer(
            _query(subscription, since, until, [Measure.ATTEMPTS], [Dimension.CAUSE])
        ).rows
    }
    used = _used(subscription, subscription.rate_period)
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
        attempts=dict(sorted(by_cause.items(), key=lambda item: (item[0] != SUCCEEDED, item[0]))),
        p50_ms=figures[Measure.TOTAL_P50_MS],
        p95_ms=figures[Measure.TOTAL_P95_MS],
        mean_ms=figures[Measure.TOTAL_MEAN_MS],
        max_ms=figures[Measure.TOTAL_MAX_MS],
        sampled=sum(by_cause.values()),
        last_success_at=_last_success(subscription, rows),
        rate_limit=limit,
        rate_period=subscription.rate_period,
        quota_used=used,
        quota_percent=round(100 * used / limit, 1) if limit else None,
    )


LATENCY: Final = (
    Measure.TOTAL_P50_MS, Measure.TOTAL_P95_MS, Measure.TOTAL_MEAN_MS, Measure.TOTAL_MAX_MS,
)  # fmt: skip


def _figures(subscription: Subscription, since: datetime, until: datetime) -> dict[Measure, Value]:
    return answer(_query(subscription, since, until, LATENCY)).rows[0].values


def _query(
    subscription: Subscription,
    since: datetime,
    until: datetime,
    measures: Sequence[Measure],
    dimensions: Sequence[Dimension] = (),
) -> Query:
    return Query(
        account_ids=[subscription.account_id],
        measures=measures,
        dimensions=dimensions,
        filters={Dimension.SUBSCRIPTION: [str(subscription.pk)]},
        since=since,
        until=until,
    )


def _last_success(subscription: Subscription, rows: Any) -> datetime | None:
    """Exact where it is among the newest deliveries; else as fine as rollups are still kept."""
    newest = rows.filter(attempt_count__gt=0).values_list("delivered_at", flat=True)[:NEWEST]
    known: datetime | None = max(filter(None, newest), default=None)
    period = last_successes([subscription.pk]).get(subscription.pk)
    if known is None or (period is not None and period > known):
        return period
    return known


def _used(subscription: Subscription, period: str) -> float:
    minutes, parts = QUOTA_MINUTES[period]
    until = clock.now().replace(second=0, microsecond=0) - MINUTE
    counted = Rollup.objects.filter(
        subscription=subscription,
        scope=Scope.FULL,
        grain=Grain.MINUTE,
        at__gte=until - minutes * MINUTE,
        at__lt=until,
    )
    attempts: int = counted.aggregate(count=Sum("attempts"))["count"] or 0
    return attempts / parts
