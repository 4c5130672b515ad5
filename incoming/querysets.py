"""Questions asked of receipts, by their domain names."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.db import models, transaction
from django.db.models import BigIntegerField, Case, F, Min, OuterRef, Q, When
from django.db.models.functions import Coalesce, Length

from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import is_due, update_returning

if TYPE_CHECKING:
    from incoming.models import HandlerRun, Receipt
else:
    HandlerRun = Receipt = models.Model

EMPTY_SHA256: Final = hashlib.sha256().digest()
# How long the body is, or was before it was emptied.
BODY_BYTES: Final = Coalesce("pruned_bytes", Length("body"), output_field=BigIntegerField())
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
                self.model._default_manager.all(),
                {
                    "status": "processing",
                    "next_attempt_at": None,
                    "lease_token": token,
                    "leased_until": now + timedelta(seconds=LEASE_SECONDS),
                },
                ("id",),
                among=ids,
            )
        return token, [row[0] for row in rows]

    def release_expired(self, now: datetime) -> int:
        """Return what a dead pump had claimed: due again at once."""
        return self.filter(leased_until__lt=now).update(
            status="accepted", next_attempt_at=now, lease_token=None, leased_until=None
        )

    def same_body(self) -> models.Subquery:
        """The id of an earlier receipt of the source with the same body and another id.

        Any of them, and no more than one is looked for: a source may send one body ten thousand
        times. What was refused counts for nothing, nor what has no id of the provider's.
        """
        return models.Subquery(
            self.model._default_manager.filter(
                body_sha256=OuterRef("body_sha256"),
                source=OuterRef("source"),
                pk__lt=OuterRef("pk"),
            )
            .exclude(external_id__in=("", OuterRef("external_id")))
            .exclude(status__in=("refused", "duplicate", "handshake"))
            .order_by()
            .values("pk")[:1]
        )

    def with_same_body(self) -> ReceiptQuerySet:
        """With `same_body`, for those that have a body and an id of the provider's."""
        is_asked = ~Q(external_id="") & ~Q(body_sha256=EMPTY_SHA256)
        return self.annotate(same_body=Case(When(is_asked, then=self.same_body()), default=None))

    def give_back(self, now: datetime) -> int:
        """Return claims that nothing was done with: due again at once."""
        return self.update(
            status="accepted", next_attempt_at=now, lease_token=None, leased_until=None
        )

    def held_by(self, token: UUID, ids: Collection[UUID]) -> ReceiptQuerySet:
        """Those of the ids whose claim is still this one."""
        return self.filter(pk__in=list(ids), lease_token=token)


class HandlerRunQuerySet(models.QuerySet["HandlerRun"]):
    def due(self, now: datetime) -> HandlerRunQuerySet:
        """Those waiting for a try, the longest waiting first."""
        return self.filter(next_attempt_at__lte=now).order_by("next_attempt_at")

    def any_due(self, now: datetime) -> bool:
        """Whether there is something to claim; a read, so that an idle pump takes no write lock."""
        return is_due(self.model, "next_attempt_at", now)

    def handlers_due(self, now: datetime) -> list[str]:
        """The names of the handlers that are waited for, the longest waited for first."""
        names = (
            self.filter(next_attempt_at__lte=now)
            .order_by()
            .values_list("handler")
            .annotate(oldest=Min("next_attempt_at"))
            .order_by("oldest")
        )
        return [name for name, _ in names]

    def handlers_running(self) -> set[str]:
        """The names of the handlers that workers are running."""
        return set(
            self.filter(leased_until__isnull=False).order_by().values_list("handler", flat=True)
        )

    def claim(
        self, *, handler: str, now: datetime, lease: timedelta, worker: str
    ) -> tuple[UUID, UUID] | None:
        """Take the handler's longest waiting run under a lease; its try is counted at once.

        Returns the run's id and the token of the claim; None where there is no due run.
        """
        token = new_id()
        with transaction.atomic():
            ids = self.due(now).filter(handler=handler).select_for_update(skip_locked=True)
            rows = update_returning(
                self.model._default_manager.all(),
                {
                    "status": "running",
                    "next_attempt_at": None,
                    "lease_token": token,
                    "leased_until": now + lease,
                    "attempt_count": F("attempt_count") + 1,
                    "worker": worker[:100],
                    "started_at": now,
                },
                ("id",),
                among=ids.values("pk")[:1],
            )
        return (rows[0][0], token) if rows else None

    def expired(self, now: datetime) -> HandlerRunQuerySet:
        """Those whose worker is gone: its lease ran out."""
        return self.filter(leased_until__lt=now)

    def again(self, now: datetime) -> int:
        """Put these back in line, with all their tries before them."""
        return self.update(status="pending", attempt_count=0, next_attempt_at=now, finished_at=None)
