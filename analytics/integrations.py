"""How each endpoint and each source does: volume, success, latency, against the period before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from analytics.last_success import last_successes
from analytics.query import Dimension, Measure, Query, Row, Value, answer
from incoming.models import Source
from subscriptions.models import Subscription

MAX_INTEGRATIONS: Final = 500  # of a kind, those with the most volume
STEADY: Final = 0.1  # a change of volume by less is none

OF_ENDPOINTS: Final = (
    Measure.ATTEMPTS, Measure.SUCCESS_RATE, Measure.FIRST_SUCCESS_RATE,
    Measure.RETRIES_PER_DELIVERY, Measure.TOTAL_P50_MS, Measure.TOTAL_P95_MS,
)  # fmt: skip
OF_SOURCES: Final = (
    Measure.RECEIPTS, Measure.ACCEPTED_RATE, Measure.REFUSED, Measure.DUPLICATES,
    Measure.RECEIPT_BYTES,
)  # fmt: skip


class Trend(StrEnum):
    """Of volume, against the period before."""

    RISING = "rising"
    FALLING = "falling"
    STEADY = "steady"
    NEW = "new"  # nothing in the period before


@dataclass(frozen=True, slots=True)
class Integration:
    """An endpoint or a source. `last_success_at` is when one was last delivered, or accepted."""

    id: UUID
    account_id: UUID
    name: str
    status: str
    last_success_at: datetime | None
    trend: Trend
    values: dict[Measure, Value]
    before: dict[Measure, Value]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Those with some volume in the period or the one before, the most first."""

    since: datetime
    until: datetime
    endpoints: list[Integration]
    sources: list[Integration]


def integration_health(
    *, account_ids: Sequence[UUID] | None, since: datetime, until: datetime
) -> HealthReport:
    """Of these accounts; None for all."""
    return HealthReport(
        since=since,
        until=until,
        endpoints=endpoint_health(account_ids, since, until),
        sources=source_health(account_ids, since, until),
    )


def endpoint_health(
    account_ids: Sequence[UUID] | None,
    since: datetime,
    until: datetime,
    limit: int = MAX_INTEGRATIONS,
) -> list[Integration]:
    """Those with the most attempts; success is a delivered attempt."""
    found = _rows(Dimension.SUBSCRIPTION, OF_ENDPOINTS, account_ids, since, until, limit)
    known: dict[UUID, Any] = Subscription.objects.only(
        "pk", "account_id", "name", "status"
    ).in_bulk(list(found))
    succeeded = last_successes(list(known))
    return [
        _integration(known[key], str(known[key].status), succeeded.get(key), row)
        for key, row in found.items()
        if key in known
    ]


def source_health(
    account_ids: Sequence[UUID] | None,
    since: datetime,
    until: datetime,
    limit: int = MAX_INTEGRATIONS,
) -> list[Integration]:
    """Those with the most receipts; success is one whose sender was verified."""
    found = _rows(Dimension.SOURCE, OF_SOURCES, account_ids, since, until, limit)
    known = Source.objects.only(
        "pk", "account_id", "name", "disabled_at", "last_verified_at"
    ).in_bulk(list(found))
    return [
        _integration(
            known[key],
            "disabled" if known[key].disabled_at else "enabled",
            known[key].last_verified_at,
            row,
        )
        for key, row in found.items()
        if key in known
    ]


def trend_of(now: Value, before: Value) -> Trend:
    if not before:
        return Trend.NEW if now else Trend.STEADY
    change = ((now or 0) - before) / before
    if abs(change) < STEADY:
        return Trend.STEADY
    return Trend.RISING if change > 0 else Trend.FALLING


def _integration(
    row: Any, status: str, last_success_at: datetime | None, figures: Row
) -> Integration:
    before = figures.before or {}
    volume = next(iter(figures.values))
    return Integration(
        id=row.pk,
        account_id=row.account_id,
        name=row.name,
        status=status,
        last_success_at=last_success_at,
        trend=trend_of(figures.values[volume], before.get(volume)),
        values=figures.values,
        before=before,
    )


def _rows(
    dimension: Dimension,
    measures: Sequence[Measure],
    account_ids: Sequence[UUID] | None,
    since: datetime,
    until: datetime,
    limit: int,
) -> dict[UUID, Row]:
    found = answer(
        Query(
            account_ids=account_ids,
            measures=measures,
            dimensions=[dimension],
            since=since,
            until=until,
            compare=True,
            order_by=measures[0],
            limit=limit,
        )
    )
    return {UUID(row.keys[dimension]): row for row in found.rows}
