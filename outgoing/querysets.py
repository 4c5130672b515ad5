"""Questions asked of events and deliveries, by their domain names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import models, transaction
from django.db.models import Case, F, Value, When
from django.db.models.functions import Least

from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import insert_rows, is_due, update_returning

if TYPE_CHECKING:
    from outgoing.models import Attempt, Delivery, Event, Retry
else:
    Attempt = Delivery = Event = Retry = models.Model

LEASE_SECONDS: Final = 10  # a worker silent for longer loses its claim

# What puts a delivery back where it stood before it was claimed.
BACK_IN_LINE: Final[dict[str, Any]] = {
    "status": "pending",
    "lease_token": None,
    "leased_until": None,
    "lane": Case(When(trigger="first", then=Value(0)), default=Value(1)),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One delivery taken to be attempted, and the token that proves it."""

    delivery_id: UUID
    event_id: UUID
    subscription_id: UUID
    trigger: str
    attempt_count: int
    attempts_before: int
    replay_id: UUID | None
    due_at: datetime
    token: UUID


class EventQuerySet(models.QuerySet["Event"]):
    def between(self, since: datetime, until: datetime) -> EventQuerySet:
        """Those created in `[since, until)`."""
        return self.filter(created_at__gte=since, created_at__lt=until)


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, now: datetime, lane: int) -> DeliveryQuerySet:
        """Those of a lane that may be claimed, the longest waiting first."""
        return self.filter(lane=lane, next_attempt_at__lte=now).order_by("next_attempt_at")

    def lanes_due(self, now: datetime) -> list[int]:
        """The lanes with something to claim; a read, so that an idle pump takes no write lock."""
        return [lane for lane in (0, 1) if is_due(self.model, "next_attempt_at", now, lane=lane)]

    def claim(
        self, *, now: datetime, lane: int, limit: int, except_subscriptions: Collection[UUID] = ()
    ) -> list[Claim]:
        """Take up to `limit` due deliveries of a lane under a lease, in one statement.

        They come the longest waiting first. Rows that another worker is taking are skipped where
        the database can. All of one call share a token.
        """
        candidates = self.due(now, lane)
        if except_subscriptions:
            candidates = candidates.exclude(subscription_id__in=except_subscriptions)
        token = new_id()
        with transaction.atomic():
            ids = candidates.select_for_update(skip_locked=True).values("pk")[:limit]
            rows = update_returning(
                self.model._default_manager.filter(pk__in=ids),
                {
                    "status": "delivering",
                    "lane": None,
                    "lease_token": token,
                    "leased_until": now + timedelta(seconds=LEASE_SECONDS),
                },
                ("id", "event", "subscription", "trigger", "attempt_count", "attempts_before",
                 "replay", "next_attempt_at"),
            )  # fmt: skip
        claims = [Claim(*(*row, token)) for row in rows]
        claims.sort(key=attrgetter("due_at"))  # RETURNING has no order
        return claims

    def renew_leases(self, tokens: Collection[UUID], now: datetime) -> int:
        """Keep the claims of a living worker. Returns how many are still its own."""
        return self.filter(lease_token__in=tokens, leased_until__isnull=False).update(
            leased_until=now + timedelta(seconds=LEASE_SECONDS)
        )

    def release(self, ids: Iterable[UUID], token: UUID, lane: int) -> int:
        """Give back claims that were not attempted: they stand in line again."""
        return self.filter(pk__in=list(ids), lease_token=token).update(
            **BACK_IN_LINE | {"lane": lane}
        )

    def release_expired(self, now: datetime) -> int:
        """Return what dead workers had claimed: due again at once, the attempt not counted."""
        return self.filter(leased_until__lt=now).update(**BACK_IN_LINE)

    def restore_held(self, now: datetime, limit: int) -> int:
        """Put back in line, the oldest first, what was held for subscriptions active by now.

        They stand behind first attempts, so that a backlog does not hold up what is new, and have
        the whole retry schedule before them.
        """
        ids = (
            self.filter(status="held", subscription__status="active")
            .order_by("next_attempt_at")
            .values("pk")[:limit]
        )
        return self.filter(pk__in=ids, status="held").update(
            status="pending",
            lane=1,
            trigger="resume",
            attempts_before=F("attempt_count"),
            next_attempt_at=Least("next_attempt_at", Value(now)),
        )

    def cancel_archived(self, limit: int) -> int:
        """Give up what is held for subscriptions that are archived."""
        ids = self.filter(status="held", subscription__status="archived").values("pk")[:limit]
        return self.filter(pk__in=ids).update(status="cancelled")

    def finish(self, ids: Collection[UUID], token: UUID, values: dict[str, Any]) -> set[UUID]:
        """End claims: set `values`, drop the lease. Returns those whose lease still was ours."""
        rows = update_returning(
            self.filter(pk__in=list(ids), lease_token=token),
            {"lease_token": None, "leased_until": None, **values},
            ("id",),
        )
        return {row[0] for row in rows}


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def insert_many(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append attempts in bulk."""
        insert_rows(self.model, columns, rows)


class RetryQuerySet(models.QuerySet["Retry"]):
    def due(self, now: datetime) -> RetryQuerySet:
        """Those whose time has come, the longest overdue first."""
        return self.filter(due_at__lte=now).order_by("due_at")

    def any_due(self, now: datetime) -> bool:
        """Whether there is something to release; a read, so that an idle pump takes no lock."""
        return is_due(self.model, "due_at", now)
