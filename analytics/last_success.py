"""When attempts last succeeded, as fine as rollups are still kept."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import OuterRef, Subquery

from analytics.models import Rollup, Scope
from analytics.periods import Grain
from subscriptions.models import Subscription

_SCOPES: Final = {
    Grain.DAY: Scope.SUBSCRIPTION, Grain.HOUR: Scope.SUBSCRIPTION, Grain.MINUTE: Scope.FULL,
}  # fmt: skip
_TOGETHER: Final = 500


def last_successes(subscription_ids: Collection[UUID]) -> dict[UUID, datetime]:
    """The start of the last minute, hour or day in which an attempt succeeded, by subscription.

    Each is looked for from its newest rows back, so that years of history cost nothing.
    """
    found: dict[UUID, datetime] = {}
    ids = list(subscription_ids)
    for start in range(0, len(ids), _TOGETHER):
        part = Subscription.objects.filter(pk__in=ids[start : start + _TOGETHER]).order_by()
        for key, *moments in part.values_list("pk", *map(_newest, _SCOPES)):
            if known := [moment for moment in moments if moment is not None]:
                found[key] = max(known)
    return found


def _newest(grain: Grain) -> Subquery:
    rows = Rollup.objects.filter(
        subscription=OuterRef("pk"), scope=_SCOPES[grain], grain=grain, cause=""
    )
    return Subquery(rows.order_by("-at").values("at")[:1])
