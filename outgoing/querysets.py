"""Questions asked of events and deliveries, by their domain names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from django.db import models, transaction
from django.db.models import Case, CharField, Exists, F, Min, OuterRef, Q, Value, When
from django.db.models.functions import Cast, Least

from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import (
    insert_instance,
    insert_instances,
    insert_new,
    insert_rows,
    is_due,
    update_returning,
)

if TYPE_CHECKING:
    from outgoing.models import Attempt, Delivery, Event, Flow, Retry, SentBody
else:
    Attempt = Delivery = Event = Flow = Retry = SentBody = models.Model

LEASE_SECONDS: Final = 10  # a worker silent for longer loses its claim
FEW: Final = 2  # rows that are stored one by one in less time than many are begun with
PARK_ROWS: Final = 400  # looked at or parked together

# What puts a delivery back where it stood before it was claimed.
BACK_IN_LINE: Final[dict[str, Any]] = {
    "status": "pending",
    "lease_token": None,
    "leased_until": None,
    "lane": Case(When(trigger="first", then=Value(0)), default=Value(1)),
}
# Those whose deliveries, until they are, keep later ones of the same order key back.
ENDED: Final = ("delivered", "cancelled")


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
    order_key: str | None
    token: UUID


class EventQuerySet(models.QuerySet["Event"]):
    def between(self, since: datetime, until: datetime) -> EventQuerySet:
        """Those created in `[since, until)`."""
        return self.filter(created_at__gte=since, created_at__lt=until)

    def insert_new(self, events: Sequence[Event]) -> set[UUID]:
        """Store those whose idempotency keys nobody has yet. Returns their ids."""
        return {row[0] for row in insert_new(events, ("id",))}

    def scheduled(self, now: datetime) -> EventQuerySet:
        """Those that wait for their time."""
        return self.filter(deliver_at__gt=now, cancelled_at=None)

    def not_scheduled(self, now: datetime) -> EventQuerySet:
        """All others."""
        return self.filter(
            Q(deliver_at=None) | Q(deliver_at__lte=now) | Q(cancelled_at__isnull=False)
        )


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, now: datetime, lane: int) -> DeliveryQuerySet:
        """Those of a lane that may be claimed, the longest waiting first."""
        return self.filter(lane=lane, next_attempt_at__lte=now).order_by("next_attempt_at")

    def insert_many(self, deliveries: Sequence[Delivery]) -> None:
        """Store new ones in bulk."""
        if len(deliveries) <= FEW:
            for delivery in deliveries:
                insert_instance(delivery)
        else:
            insert_instances(deliveries)

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
        with transaction.atomic():
            ids = candidates.select_for_update(skip_locked=True).values("pk")[:limit]
            return self._claimed(self.model._default_manager.filter(pk__in=ids), now)

    def _claimed(self, rows: models.QuerySet[Any], now: datetime) -> list[Claim]:
        token = new_id()
        claims = [
            Claim(*(*row, token))
            for row in update_returning(
                rows,
                {
                    "status": "delivering",
                    "lane": None,
                    "lease_token": token,
                    "leased_until": now + timedelta(seconds=LEASE_SECONDS),
                },
                ("id", "event", "subscription", "trigger", "attempt_count", "attempts_before",
                 "replay", "next_attempt_at", "order_key"),
            )
        ]  # fmt: skip
        claims.sort(key=attrgetter("due_at"))  # RETURNING has no order
        return claims

    def claim_limited(
        self, subscription_id: UUID, *, now: datetime, limit: int, in_order: bool = False
    ) -> list[Claim]:
        """Take due deliveries of a subscription with limits; only its flow's owner may ask.

        In order, those with an unfinished one of their order key before them are parked: they
        stand in no line until `unpark` finds nothing before them any more.
        """
        due = self.filter(
            subscription_id=subscription_id, lane=2, next_attempt_at__lte=now
        ).order_by("next_attempt_at", "pk")
        everyone = self.model._default_manager
        with transaction.atomic():
            if not in_order:
                ids = due.select_for_update(skip_locked=True).values("pk")[:limit]
                return self._claimed(everyone.filter(pk__in=ids), now)
            rows = due.annotate(waits=self._something_before()).values_list("pk", "waits")
            seen = list(rows[: limit + PARK_ROWS])
            parked = [pk for pk, waits in seen if waits]
            if parked:
                everyone.filter(pk__in=parked, lane=2).update(lane=None)
            free = [pk for pk, waits in seen if not waits][:limit]
            return self._claimed(everyone.filter(pk__in=free, lane=2), now) if free else []

    def _something_before(self) -> Exists:
        """Whether a delivery of the same subscription and order key, older and unfinished, is."""
        return Exists(
            self.model._default_manager.filter(
                subscription=OuterRef("subscription"),
                order_key=OuterRef("order_key"),
                pk__lt=OuterRef("pk"),
            ).exclude(status__in=ENDED)
        )

    def unpark(self, subscription_id: UUID, keys: Collection[str] | None = None) -> int:
        """Put the first unfinished delivery of each order key in line, where it was parked.

        Of all keys of the subscription, or of these.
        """
        unfinished = self.filter(subscription_id=subscription_id, order_key__isnull=False).exclude(
            status__in=ENDED
        )
        if keys is not None:
            unfinished = unfinished.filter(order_key__in=list(keys))
        # As text, since PostgreSQL knows no least UUID before version 18; the order is the same.
        least = Min(Cast("pk", CharField()))
        heads = [
            UUID(row["head"])
            for row in unfinished.order_by().values("order_key").annotate(head=least)
        ]
        count = 0
        for start in range(0, len(heads), PARK_ROWS):
            count += self.filter(
                pk__in=heads[start : start + PARK_ROWS],
                status="pending",
                lane=None,
                lease_token=None,
                retry=None,
            ).update(lane=2)
        return count

    def due_limited(self, subscription_id: UUID, now: datetime, limit: int) -> list[datetime]:
        """Since when the due deliveries of a subscription with limits wait, the longest first."""
        return list(
            self.filter(subscription_id=subscription_id, lane=2, next_attempt_at__lte=now)
            .order_by("next_attempt_at")
            .values_list("next_attempt_at", flat=True)[:limit]
        )

    def leave_flow(self, subscription_id: UUID, limit: int) -> int:
        """Put what waits in a flow into the lines of all: the subscription has no limits now."""
        ids = self.filter(subscription_id=subscription_id, lane=2).values("pk")[:limit]
        return self.filter(pk__in=list(ids.values_list("pk", flat=True))).update(
            lane=BACK_IN_LINE["lane"]
        )

    def under_way(self) -> list[tuple[UUID, UUID]]:
        """Subscription and lease token of every claim there is: no more than workers hold."""
        rows = self.filter(leased_until__isnull=False)
        return [
            (subscription_id, token)
            for subscription_id, token in rows.values_list("subscription_id", "lease_token")
            if token is not None
        ]

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
            # What never was attempted may wait for the time of its event.
            next_attempt_at=Case(
                When(attempt_count=0, then=F("next_attempt_at")),
                default=Least("next_attempt_at", Value(now)),
            ),
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


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def insert_many(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append attempts in bulk."""
        insert_rows(self.model, columns, rows)


class SentBodyQuerySet(models.QuerySet["SentBody"]):
    def insert_new(self, bodies: Sequence[SentBody]) -> None:
        """Store those that their deliveries do not have yet."""
        insert_new(bodies, ("id",))

    def of_events(self, event_ids: Collection[UUID]) -> SentBodyQuerySet:
        """Those that hold these events' data, also as a part of a batch."""
        # The table of attempts is of another class only here, where models are not loaded yet.
        attempts = self.model._meta.apps.get_model("outgoing", "Attempt")._default_manager
        sent = attempts.filter(delivery__event__in=list(event_ids)).exclude(request_sha256=b"")
        return self.filter(
            account__in=sent.values("delivery__account"), sha256__in=sent.values("request_sha256")
        )


class RetryQuerySet(models.QuerySet["Retry"]):
    def due(self, now: datetime) -> RetryQuerySet:
        """Those whose time has come, the longest overdue first."""
        return self.filter(due_at__lte=now).order_by("due_at")

    def any_due(self, now: datetime) -> bool:
        """Whether there is something to release; a read, so that an idle pump takes no lock."""
        return is_due(self.model, "due_at", now)
