"""What monitoring asks of analytics: counts by window, failures in a row, hours.

The longer a window, the less often it is counted anew: of a day, ten minutes change little.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Generic, TypeVar
from uuid import UUID

import structlog
from django.core.cache import cache
from django.db.models import F, Sum

from analytics.models import Rollup, Scope
from analytics.outcomes import are_counted, recent_outcomes, recent_receipts
from analytics.periods import Grain
from analytics.query import Dimension, Granularity, Measure, Query, Value, answer
from monitoring.figures import DAY, FIVE_MINUTES, HOUR, Arrivals, Outcome
from monitoring.usual import WEEKS
from subscriptions.models import Subscription
from webhooks_project.models import Uncounted

log = structlog.get_logger(__name__)

KEPT_SECONDS: Final = {FIVE_MINUTES: 0, HOUR: 120, DAY: 600}
# How far back failures in a row are counted. Of more it is known that there are at least so many;
# what was known before is kept (monitoring/gathering.py) for as long as nothing succeeds.
COUNTED_FAILURES: Final = timedelta(days=1)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Counted(Generic[Item]):
    """A window's counts by endpoint or source. Where it is not whole, what is not seen in it may
    have been all the same."""

    items: Mapping[UUID, Item]
    is_whole: bool = True


def outcomes_by_window(now: datetime) -> dict[int, Counted[Outcome]]:
    """Attempts by subscription, of every window."""
    count = partial(_counted, Uncounted.Kind.ATTEMPT)
    return {
        FIVE_MINUTES: count(FIVE_MINUTES, now, lambda: _recent_outcomes(now, FIVE_MINUTES)),
        HOUR: count(HOUR, now, lambda: _recent_outcomes(now, HOUR)),
        DAY: count(DAY, now, lambda: _outcomes_of_day(now)),
    }


def arrivals_by_window(now: datetime) -> dict[int, Counted[Arrivals]]:
    """Calls by source, of every window."""
    count = partial(_counted, Uncounted.Kind.RECEIPT)
    return {
        FIVE_MINUTES: count(FIVE_MINUTES, now, lambda: _recent_arrivals(now, FIVE_MINUTES)),
        HOUR: count(HOUR, now, lambda: _recent_arrivals(now, HOUR)),
        DAY: count(DAY, now, lambda: _arrivals_of_day(now)),
    }


def failures_in_a_row(now: datetime) -> dict[UUID, int]:
    """How many attempts failed since the last success and within a day, of subscriptions that
    fail."""
    minute = timedelta(minutes=1)
    rows = (
        Rollup.objects.filter(
            scope=Scope.FULL,  # which alone has minutes of a subscription
            grain=Grain.MINUTE,
            at__gte=now - COUNTED_FAILURES,
            subscription__in=Subscription.objects.filter(failing_since__isnull=False)
            .order_by()
            .values("pk"),
            at__gt=F("subscription__failing_since") - minute,
        )
        .exclude(cause="")
        .order_by()
        .values_list("subscription_id")
        .annotate(count=Sum("attempts"))
    )
    return dict(rows)


def ever_attempted(subscription_ids: Collection[UUID], *, succeeded: bool = False) -> set[UUID]:
    """Those of them to which an attempt was ever made, or, with `succeeded`, succeeded."""
    if not subscription_ids:
        return set()
    found: set[UUID] = set()
    # Days are kept for ever; what is of no whole day or hour yet stands in finer rows.
    for scope, grain in (
        (Scope.SUBSCRIPTION, Grain.DAY),
        (Scope.SUBSCRIPTION, Grain.HOUR),
        (Scope.FULL, Grain.MINUTE),
    ):
        rows = Rollup.objects.filter(scope=scope, grain=grain, subscription__in=subscription_ids)
        if succeeded:
            rows = rows.filter(cause="")
        found.update(rows.order_by().values_list("subscription", flat=True).distinct())
    return found


def heard_by_hour(source_ids: Sequence[UUID], now: datetime) -> dict[UUID, dict[datetime, int]]:
    """How many calls of each source were taken, by the start of the hour, of the last weeks."""
    found: dict[UUID, dict[datetime, int]] = defaultdict(dict)
    rows = answer(
        Query(
            account_ids=None,
            measures=[Measure.ACCEPTED],
            dimensions=[Dimension.SOURCE],
            granularity=Granularity.HOUR,
            filters={Dimension.SOURCE: [str(key) for key in source_ids]},
            since=now - timedelta(weeks=WEEKS),
            until=now,
            is_bounded=False,
        )
    ).rows
    for row in rows:
        count = row.values[Measure.ACCEPTED]
        if count and row.at is not None:
            found[UUID(row.keys[Dimension.SOURCE])][row.at] = int(count)
    return dict(found)


def _recent_outcomes(now: datetime, seconds: int) -> dict[UUID, Outcome]:
    found = recent_outcomes(since=now - timedelta(seconds=seconds), until=now)
    return {
        key: Outcome(
            attempts=item.attempts,
            succeeded=item.succeeded,
            by_cause=item.by_cause,
            p50_ms=item.p50_ms,
            p95_ms=item.p95_ms,
            p99_ms=item.p99_ms,
        )
        for key, item in found.items()
    }


def _recent_arrivals(now: datetime, seconds: int) -> dict[UUID, Arrivals]:
    found = recent_receipts(since=now - timedelta(seconds=seconds), until=now)
    return {
        key: Arrivals(item.received, item.accepted, item.refused_by_cause)
        for key, item in found.items()
    }


def _outcomes_of_day(now: datetime) -> dict[UUID, Outcome]:
    """From the rows of whole hours, and the minutes at both ends."""
    by_cause: dict[UUID, dict[str, int]] = defaultdict(dict)
    for keys, values in _of_day(now, [Measure.FAILED], [Dimension.SUBSCRIPTION, Dimension.CAUSE]):
        if failed := int(values[Measure.FAILED] or 0):
            by_cause[UUID(keys[Dimension.SUBSCRIPTION])][keys[Dimension.CAUSE]] = failed
    measures = [
        Measure.ATTEMPTS, Measure.SUCCEEDED, Measure.TOTAL_P50_MS, Measure.TOTAL_P95_MS,
        Measure.TOTAL_P99_MS,
    ]  # fmt: skip
    return {
        (key := UUID(keys[Dimension.SUBSCRIPTION])): Outcome(
            attempts=int(values[Measure.ATTEMPTS] or 0),
            succeeded=int(values[Measure.SUCCEEDED] or 0),
            by_cause=by_cause.get(key, {}),
            p50_ms=values[Measure.TOTAL_P50_MS],
            p95_ms=values[Measure.TOTAL_P95_MS],
            p99_ms=values[Measure.TOTAL_P99_MS],
        )
        for keys, values in _of_day(now, measures, [Dimension.SUBSCRIPTION])
    }


def _arrivals_of_day(now: datetime) -> dict[UUID, Arrivals]:
    by_cause: dict[UUID, dict[str, int]] = defaultdict(dict)
    for keys, values in _of_day(now, [Measure.REFUSED], [Dimension.SOURCE, Dimension.CAUSE]):
        if refused := int(values[Measure.REFUSED] or 0):
            by_cause[UUID(keys[Dimension.SOURCE])][keys[Dimension.CAUSE]] = refused
    measures = [Measure.RECEIPTS, Measure.ACCEPTED]
    return {
        (key := UUID(keys[Dimension.SOURCE])): Arrivals(
            received=int(values[Measure.RECEIPTS] or 0),
            accepted=int(values[Measure.ACCEPTED] or 0),
            refused_by_cause=by_cause.get(key, {}),
        )
        for keys, values in _of_day(now, measures, [Dimension.SOURCE])
    }


def _of_day(
    now: datetime, measures: Sequence[Measure], dimensions: Sequence[Dimension]
) -> list[tuple[Mapping[Dimension, str], Mapping[Measure, Value]]]:
    query = Query(
        account_ids=None,
        measures=measures,
        dimensions=dimensions,
        since=now - timedelta(seconds=DAY),
        until=now,
        is_bounded=False,
    )
    return [(row.keys, row.values) for row in answer(query).rows]


def _counted(
    kind: Uncounted.Kind, seconds: int, now: datetime, count: Callable[[], dict[UUID, Item]]
) -> Counted[Item]:
    """What was counted not long ago, or is counted now.

    One that cannot be counted is empty, and not whole: the others, and all else that is judged, do
    not wait for it.
    """
    key = f"monitoring.windows.{kind.name.lower()}.{seconds}"
    kept_seconds = KEPT_SECONDS[seconds]
    found: Counted[Item] | None = cache.get(key) if kept_seconds else None
    if found is not None:
        return found
    try:
        is_whole = are_counted(kind, since=now - timedelta(seconds=seconds), now=now)
        found = Counted(count(), is_whole)
    except Exception:
        log.exception("a window was not counted", kind=kind.name.lower(), seconds=seconds)
        return Counted({}, is_whole=False)
    if kept_seconds:
        cache.set(key, found, timeout=kept_seconds)
    return found
