"""Questions asked of receipts, by their domain names."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import models, transaction

from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import is_due, update_returning

if TYPE_CHECKING:
    from incoming.models import HandlerRun, Receipt
else:
    HandlerRun = Receipt = models.Model

LEASE_SECONDS: Final = 30  # a processing pump silent for longer loses its claim


class ReceiptQuerySet(models.QuerySet["Receipt"]):
    def due(self, now: datetime) -> ReceiptQuerySet:
        """Those waiting to be processed, the longest waiting first."""
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at")

    def any_due(self, now: datetime) -> bool:
        """Whether there is something to claim; a read, so that an idle pump takes no write lock."""
        return is_due(self.model, "next_attempt_at", now)

    def claim(self, *, now: datetime, limit: int) -> tuple[UUID, list[UUID]]:
        """Take up to `limit` due receipts under a lease, in one statement.

        Returns the token of the claim and the receipts' ids.
        """
        token = new_id()
        with transaction.atomic():
            ids = self.due(now).select_for_update(skip_locked=True).values("pk")[:limit]
            rows = update_returning(
                self.model._default_manager.filter(pk__in=ids),
                {
                    "status": "processing",
                    "next_attempt_at": None,
                    "lease_token": token,
                    "leased_until": now + timedelta(seconds=LEASE_SECONDS),
                },
                ("id",),
            )
        return token, [row[0] for row in rows]

    def release_expired(self, now: datetime) -> int:
        """Return what a dead pump had claimed: due again at once."""
        return self.filter(leased_until__lt=now).update(
            status="accepted", next_attempt_at=now, lease_token=None, leased_until=None
        )

    def held_by(self, token: UUID, ids: Collection[UUID]) -> ReceiptQuerySet:
        """Those of the ids whose claim is still this one."""
        return self.filter(pk__in=list(ids), lease_token=token)


class HandlerRunQuerySet(models.QuerySet["HandlerRun"]):
    def due(self, now: datetime) -> HandlerRunQuerySet:
        """Those waiting for a try, the longest waiting first."""
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at")
