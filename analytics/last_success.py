"""When attempts last succeeded, as fine as rollups are still kept."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import Max

from analytics.models import Rollup, Scope
from analytics.periods import Grain

_SCOPES = {Grain.DAY: Scope.SUBSCRIPTION, Grain.HOUR: Scope.SUBSCRIPTION, Grain.MINUTE: Scope.FULL}


def last_successes(
    *,
    account_ids: Collection[UUID] | None = None,
    subscription_id: UUID | None = None,
) -> dict[UUID, datetime]:
    """The start of the last minute, hour or day in which an attempt succeeded, by subscription."""
    found: dict[UUID, datetime] = {}
    for grain, scope in _SCOPES.items():
        rows = Rollup.objects.filter(scope=scope, grain=grain, cause="").order_by()
        if account_ids is not None:
            rows = rows.filter(account__in=list(account_ids))
        if subscription_id is not None:
            rows = rows.filter(subscription=subscription_id)
        for key, last in rows.values_list("subscription").annotate(last=Max("at")):
            found[key] = max(last, found.get(key, last))
    return found
