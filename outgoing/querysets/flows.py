"""Who owns the flow of a subscription with limits."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q

from outgoing.querysets.deliveries import LEASE_SECONDS
from webhooks_project.lib.sql import (
    update_returning,
)

if TYPE_CHECKING:
    from outgoing.models import Flow
else:
    Flow = models.Model


class FlowQuerySet(models.QuerySet["Flow"]):
    def take(self, subscription_ids: Iterable[UUID], owner: UUID, now: datetime) -> list[Flow]:
        """Own these flows, as far as nobody else does, as they were before."""
        ids = list(subscription_ids)
        self.bulk_create([self.model(pk=key) for key in ids], ignore_conflicts=True)
        with transaction.atomic():
            flows = list(
                self.filter(Q(leased_until=None) | Q(leased_until__lt=now), pk__in=ids)
                .select_for_update(skip_locked=True)
                .order_by("pk")
            )
            self.filter(pk__in=[flow.pk for flow in flows]).update(
                owner=owner, leased_until=_lease(now)
            )
        return flows

    def hold(self, subscription_id: UUID, owner: UUID, now: datetime) -> bool:
        """Whether it is the owner's; it stays so until the caller's transaction ends."""
        own = self.filter(pk=subscription_id, owner=owner, leased_until__gt=now)
        return own.select_for_update(no_key=True).first() is not None

    def renew(self, owner: UUID, now: datetime) -> set[UUID]:
        """Keep what is ours. Returns what still is."""
        rows = update_returning(
            self.filter(owner=owner), {"leased_until": _lease(now)}, ("subscription",)
        )
        return {row[0] for row in rows}


def _lease(now: datetime) -> datetime:
    return now + timedelta(seconds=LEASE_SECONDS)
