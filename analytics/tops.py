"""Lists of what stands out: failing, slow, noisy, unused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from analytics.models import Rollup, Scope
from analytics.periods import Grain, first_whole, start_of
from analytics.query import Dimension, Measure, Query, Row, Value, answer
from incoming.models import Source
from outgoing.models import Event
from subscriptions.models import EventType, Subscription

MIN_ATTEMPTS: Final = 10  # fewer say nothing of a percentile
MAX_TOP: Final = 100
_TOGETHER: Final = 500


class Top(StrEnum):
    FAILING_ENDPOINTS = "failing-endpoints"
    SLOWEST_ENDPOINTS = "slowest-endpoints"
    NOISIEST_SOURCES = "noisiest-sources"
    UNUSED_TYPES = "unused-types"
    UNUSED_SUBSCRIPTIONS = "unused-subscriptions"


@dataclass(frozen=True, slots=True)
class Item:
    """A subscription, a source or an event type, and its figures."""

    id: UUID
    account_id: UUID
    name: str
    values: dict[Measure, Value]
    created_at: datetime | None = None  # of what is unused


def top(
    kind: Top,
    *,
    account_ids: Sequence[UUID] | None,
    since: datetime,
    until: datetime,
    limit: int = 10,
) -> list[Item]:
    """The first `limit` of the list, the most striking first; accounts None for all.

    Failing: by failed attempts. Slowest: by the 95th percentile, of those with MIN_ATTEMPTS.
    Noisiest: by calls received. Unused types: in the catalogue since before the period, and no
    event nor attempt of them within it. Unused subscriptions: active since before it, and nothing
    attempted.
    """
    limit = min(limit, MAX_TOP)
    period = (account_ids, since, until)
    match kind:
        case Top.FAILING_ENDPOINTS:
            measures = [Measure.FAILED, Measure.ATTEMPTS, Measure.SUCCESS_RATE]
            rows = _rows(Dimension.SUBSCRIPTION, measures, *period)
            found = [row for row in rows if row.values[Measure.FAILED]][:limit]
            return _named(found, Dimension.SUBSCRIPTION, Subscription.objects.all())
        case Top.SLOWEST_ENDPOINTS:
            measures = [
                Measure.TOTAL_P95_MS, Measure.TOTAL_P50_MS, Measure.TOTAL_P99_MS, Measure.ATTEMPTS,
            ]  # fmt: skip
            rows = _rows(Dimension.SUBSCRIPTION, measures, *period)
            found = [row for row in rows if (row.values[Measure.ATTEMPTS] or 0) >= MIN_ATTEMPTS]
            return _named(found[:limit], Dimension.SUBSCRIPTION, Subscription.objects.all())
        case Top.NOISIEST_SOURCES:
            measures = [
                Measure.RECEIPTS, Measure.REFUSED, Measure.DUPLICATES, Measure.RECEIPT_BYTES,
            ]  # fmt: skip
            rows = _rows(Dimension.SOURCE, measures, *period)
            return _named(rows[:limit], Dimension.SOURCE, Source.objects.all())
        case Top.UNUSED_TYPES:
            return _unused_types(account_ids, since, until, limit)
    return _unused_subscriptions(account_ids, since, until, limit)


def _rows(
    dimension: Dimension,
    measures: Sequence[Measure],
    account_ids: Sequence[UUID] | None,
    since: datetime,
    until: datetime,
) -> list[Row]:
    return answer(
        Query(
            account_ids=account_ids,
            measures=measures,
            dimensions=[dimension],
            order_by=measures[0],
            since=since,
            until=until,
        )
    ).rows


def _named(rows: Iterable[Row], dimension: Dimension, known: QuerySet[Any]) -> list[Item]:
    values = {UUID(row.keys[dimension]): row.values for row in rows}
    named = {
        pk: (account_id, name)
        for pk, account_id, name in known.filter(pk__in=list(values)).values_list(
            "pk", "account_id", "name"
        )
    }
    return [Item(pk, *named[pk], values[pk]) for pk in values if pk in named]


def _unused_types(
    account_ids: Sequence[UUID] | None, since: datetime, until: datetime, limit: int
) -> list[Item]:
    # Events tell of the time that they are kept for, the figures of their attempts of all before.
    events = Event.objects.filter(
        account=OuterRef("account"),
        type=OuterRef("name"),
        created_at__gte=since,
        created_at__lt=until,
    ).order_by()
    types = _of(EventType.objects.filter(archived_at=None, created_at__lt=since), account_ids)
    rows = types.exclude(Exists(events))
    return _never_attempted(rows, Dimension.EVENT_TYPE, since, until, limit)


def _unused_subscriptions(
    account_ids: Sequence[UUID] | None, since: datetime, until: datetime, limit: int
) -> list[Item]:
    # One row of a day within tells that it was used, and most were: the rest are asked exactly.
    in_days = Rollup.objects.filter(
        subscription=OuterRef("pk"),
        scope=Scope.SUBSCRIPTION,
        grain=Grain.DAY,
        at__gte=first_whole(since, Grain.DAY),
        at__lt=start_of(until, Grain.DAY),
    ).order_by()
    active = _of(
        Subscription.objects.filter(status=Subscription.Status.ACTIVE, created_at__lt=since),
        account_ids,
    )
    rows = active.exclude(Exists(in_days))
    return _never_attempted(rows, Dimension.SUBSCRIPTION, since, until, limit)


def _never_attempted(
    every: QuerySet[Any], dimension: Dimension, since: datetime, until: datetime, limit: int
) -> list[Item]:
    """The first of the rows, which are the dimension's, of which nothing was attempted."""
    rows = (
        every.order_by("created_at", "pk")
        .values_list("pk", "account_id", "name", "created_at")
        .iterator(chunk_size=_TOGETHER)
    )
    found: list[Item] = []
    while len(found) < limit and (part := list(islice(rows, _TOGETHER))):
        of_types = dimension is Dimension.EVENT_TYPE
        keys = [name if of_types else str(pk) for pk, _, name, _ in part]
        used = _used(dimension, keys, {row[1] for row in part}, since, until)
        found += [
            Item(pk, account_id, name, {}, created_at)
            for key, (pk, account_id, name, created_at) in zip(keys, part, strict=True)
            if (str(account_id), key) not in used
        ]
    return found[:limit]


def _used(
    dimension: Dimension,
    keys: Sequence[str],
    account_ids: Iterable[UUID],
    since: datetime,
    until: datetime,
) -> set[tuple[str, str]]:
    """The accounts and keys of which something was attempted."""
    attempted = Query(
        account_ids=list(account_ids),
        measures=[Measure.ATTEMPTS],
        dimensions=[Dimension.ACCOUNT, dimension],
        filters={dimension: keys},
        since=since,
        until=until,
    )
    rows = answer(attempted).rows
    return {(row.keys[Dimension.ACCOUNT], row.keys[dimension]) for row in rows}


def _of(rows: QuerySet[Any], account_ids: Sequence[UUID] | None) -> QuerySet[Any]:
    return rows if account_ids is None else rows.filter(account__in=list(account_ids))
