"""Questions asked of deliveries, and the claim."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from django.db import connections, models, transaction
from django.db.models import Case, Count, Exists, F, Min, OuterRef, Subquery, Value, When
from django.db.models.functions import Least

from subscriptions.models import Subscription
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.sql import (
    claim_due,
    insert_instances,
    is_due,
    update_by_key,
    update_returning,
)

if TYPE_CHECKING:
    from outgoing.models import Delivery
else:
    Delivery = models.Model

LEASE_SECONDS: Final = 10  # a worker silent for longer loses its claim
PARK_ROWS: Final = 400  # looked at or parked together

LANES: Final = (0, 1)  # those that any pump claims from
NOTHING: Final[Mapping[int, Any]] = {}
CLAIMED: Final = (
    "id", "event", "subscription", "trigger", "attempt_count", "attempts_before", "replay",
    "next_attempt_at", "order_key", "created_at", "asked_at",
)  # fmt: skip

# What puts a delivery back where it stood before it was claimed.
BACK_IN_LINE: Final[dict[str, Any]] = {
    "status": "pending",
    "lease_token": None,
    "leased_until": None,
    "lane": Case(When(trigger="first", then=Value(0)), default=Value(1)),
}
# Those in a flow. Not `lane = 2`: an index of all that is due would look as good to a planner.
LIMITED: Final[dict[str, Any]] = {"lane__gt": 1}
# Those that stand in no line, be it for their order or for their Retry.
PARKED: Final[dict[str, Any]] = {
    "order_key__isnull": False,
    "status": "pending",
    "lane": None,
}
# A look into an index for each order key, however much is parked behind it.
FIRST_OF_PARKED: Final = """
    WITH RECURSIVE parked(order_key) AS (
        SELECT MIN(order_key) FROM "webhooks.outgoing"
        WHERE subscription_id = %(subscription)s
        AND order_key IS NOT NULL AND status = 'pending' AND lane IS NULL
        UNION ALL
        SELECT (
            SELECT MIN(later.order_key) FROM "webhooks.outgoing" later
            WHERE later.subscription_id = %(subscription)s AND later.order_key > parked.order_key
            AND later.order_key IS NOT NULL AND later.status = 'pending' AND later.lane IS NULL
        ) FROM parked WHERE parked.order_key IS NOT NULL
    )
    SELECT (
        SELECT unfinished.id FROM "webhooks.outgoing" unfinished
        WHERE unfinished.subscription_id = %(subscription)s
        AND unfinished.order_key = parked.order_key
        AND unfinished.order_key IS NOT NULL
        AND NOT (unfinished.status = 'delivered') AND NOT (unfinished.status = 'cancelled')
        ORDER BY unfinished.id LIMIT 1
    ) AS id
    FROM parked WHERE parked.order_key IS NOT NULL
"""


class Claim(NamedTuple):
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
    created_at: datetime
    asked_at: datetime | None
    token: UUID

    @property
    def since(self) -> datetime:
        """When it was last asked for; its age counts from here."""
        return self.asked_at or self.created_at


def _under_lease(token: UUID, now: datetime) -> dict[str, Any]:
    return {
        "status": "delivering",
        "lane": None,
        "lease_token": token,
        "leased_until": now + timedelta(seconds=LEASE_SECONDS),
    }


def _claims(rows: Iterable[Sequence[Any]], token: UUID, *order: str) -> list[Claim]:
    claims = [Claim._make((*row, token)) for row in rows]
    claims.sort(key=attrgetter(*order))  # RETURNING has no order
    return claims


def lane_again() -> Case:
    """The line of a delivery that is not attempted for the first time."""
    limited = Subscription.objects.filter(pk=OuterRef("subscription"), is_limited=True)
    return Case(When(Exists(limited), then=Value(2)), default=Value(1))


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def due(self, now: datetime, lane: int) -> DeliveryQuerySet:
        """Those of a lane that may be claimed, the longest waiting first."""
        return self.filter(lane=lane, next_attempt_at__lte=now).order_by("next_attempt_at")

    def insert_many(self, deliveries: Sequence[Delivery]) -> None:
        """Store new ones in bulk."""
        insert_instances(deliveries)

    def lanes_due(
        self,
        now: datetime,
        *,
        except_subscriptions: Collection[UUID] = (),
        since: Mapping[int, datetime | None] = NOTHING,
    ) -> list[int]:
        """The lanes with something to claim, of those due since each lane's moment in `since`; a
        read, so that a pump with nothing to claim takes no write lock."""
        left_out = ("subscription", except_subscriptions)
        return [
            lane
            for lane in LANES
            if is_due(
                self.model,
                "next_attempt_at",
                now,
                since=since.get(lane),
                left_out=left_out,
                lane=lane,
            )
        ]

    def claim(
        self,
        *,
        now: datetime,
        lane: int,
        limit: int,
        except_subscriptions: Collection[UUID] = (),
        since: datetime | None = None,
    ) -> list[Claim]:
        """Take up to `limit` due deliveries of a lane under a lease, in one statement.

        They come the longest waiting first, of those due since a moment where one is given. Rows
        that another worker is taking are skipped where the database can. All of one call share a
        token.
        """
        token = new_id()
        rows = claim_due(
            self.model,
            "next_attempt_at",
            now,
            _under_lease(token, now),
            CLAIMED,
            limit=limit,
            since=since,
            left_out=("subscription", except_subscriptions),
            lane=lane,
        )
        return _claims(rows, token, "due_at")

    def _claimed(
        self,
        rows: models.QuerySet[Any],
        now: datetime,
        *,
        among: models.QuerySet[Any, Any] | None = None,
    ) -> list[Claim]:
        token = new_id()
        taken = update_returning(rows, _under_lease(token, now), CLAIMED, among=among)
        # Also of one moment the first comes first: in a batch it is seen.
        return _claims(taken, token, "due_at", "delivery_id")

    def claim_limited(
        self, subscription_id: UUID, *, now: datetime, limit: int, in_order: bool = False
    ) -> list[Claim]:
        """Take due deliveries of a subscription with limits; only its flow's owner may ask.

        In order, those with an unfinished one of their order key before them are parked: they
        stand in no line until `unpark` finds nothing before them any more.
        """
        due = self.filter(
            subscription_id=subscription_id, next_attempt_at__lte=now, **LIMITED
        ).order_by("next_attempt_at", "pk")
        everyone = self.model._default_manager
        with transaction.atomic():
            if not in_order:
                ids = due.select_for_update(skip_locked=True).values("pk")[:limit]
                return self._claimed(everyone.all(), now, among=ids)
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
            )
            .exclude(status="delivered")
            .exclude(status="cancelled")
        )

    def unpark(self, subscription_id: UUID) -> int:
        """Put the first unfinished delivery of each order key in line, where it was parked."""
        column = self.model._meta.get_field("subscription")
        key = column.get_db_prep_value(subscription_id, connections[self.db])
        heads = self.raw(FIRST_OF_PARKED, {"subscription": key})
        return self._put_in_line([row.pk for row in heads])

    def unpark_after(self, ended: Collection[UUID]) -> int:
        """The same for the order keys of these deliveries only."""
        first = (
            self.model._default_manager.filter(
                subscription=OuterRef("subscription"), order_key=OuterRef("order_key")
            )
            .exclude(status="delivered")
            .exclude(status="cancelled")
            .order_by("pk")
            .values("pk")[:1]
        )
        rows = self.filter(pk__in=list(ended)).annotate(head=Subquery(first))
        heads = set(rows.values_list("head", flat=True))
        return self._put_in_line([head for head in heads if head is not None])

    def unpark_all(self, subscription_id: UUID, limit: int) -> int:
        """Put what is parked in line: the subscription's order is none any more."""
        parked = self.filter(subscription_id=subscription_id, **PARKED, retry=None)
        return self._put_in_line(list(parked.values_list("pk", flat=True)[:limit]))

    def _put_in_line(self, ids: Sequence[UUID]) -> int:
        count = 0
        for start in range(0, len(ids), PARK_ROWS):
            some = self.filter(pk__in=ids[start : start + PARK_ROWS], **PARKED, retry=None)
            count += some.update(lane=2)
        return count

    def set_aside(self, subscription_id: UUID, status: str, limit: int) -> int:
        """Hold or cancel what waits in a flow: the subscription is not active."""
        ids = self.filter(subscription_id=subscription_id, **LIMITED).values("pk")[:limit]
        return self.filter(pk__in=list(ids.values_list("pk", flat=True)), lane=2).update(
            status=status, lane=None
        )

    def due_limited(
        self, subscription_id: UUID, now: datetime, limit: int
    ) -> tuple[int, datetime | None]:
        """How many of a subscription with limits are due, up to a number, and since when."""
        due = self.filter(subscription_id=subscription_id, next_attempt_at__lte=now, **LIMITED)
        found = due.order_by("next_attempt_at")[:limit].aggregate(
            count=Count("pk"), since=Min("next_attempt_at")
        )
        return found["count"], found["since"]

    def enter_flows(self, lane: int, subscription_ids: Collection[UUID], *, among: int) -> None:
        """Put those of these subscriptions into their flows that are among the first so many of a
        lane, due or not yet: they have limits now. What another holds goes over when it is claimed:
        to wait for each other's rows would stop two pumps.
        """
        in_lane = self.filter(lane=lane).order_by("next_attempt_at")
        first = in_lane.values_list("pk", "subscription_id")[:among]
        ids = [key for key, subscription_id in first if subscription_id in subscription_ids]
        if not ids:
            return
        free = self.filter(pk__in=ids, lane=lane).select_for_update(skip_locked=True)
        everyone = self.model._default_manager.all()
        with transaction.atomic():
            update_returning(everyone, {"lane": 2}, ("id",), among=free.values("pk"))

    def leave_flow(self, subscription_id: UUID, limit: int) -> int:
        """Put what waits in a flow into the lines of all: the subscription has no limits now."""
        ids = self.filter(subscription_id=subscription_id, **LIMITED).values("pk")[:limit]
        return self.filter(pk__in=list(ids.values_list("pk", flat=True)), lane=2).update(
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
            lane=lane_again(),
            trigger="resume",
            attempts_before=F("attempt_count"),
            asked_at=now,
            # What never was attempted may wait for the time of its event.
            next_attempt_at=Case(
                When(attempt_count=0, then=F("next_attempt_at")),
                default=Least("next_attempt_at", Value(now)),
            ),
        )

    def finish(
        self, ids: Sequence[UUID], token: UUID, values: dict[str, Any], *, attempted: bool = False
    ) -> Collection[UUID]:
        """End claims: set `values`, drop the lease. Returns those whose lease still was ours."""
        return update_by_key(
            self.model,
            ids,
            {"lease_token": None, "leased_until": None, **values},
            increment=("attempt_count",) if attempted else (),
            lease_token=token,
        )
