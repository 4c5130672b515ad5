"""The deliveries of subscriptions with limits, let through by one pump at a time.

Rate, number under way, order, batches and windows hold over all workers because one pump owns a
subscription's flow, under a lease, and only the owner claims its deliveries. They stand in a lane
of their own, so that a backlog of theirs is in nobody's way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Subquery

from outgoing.breakers import half_open, may_try
from outgoing.cancelled import note_cancelled
from outgoing.endpoints import Endpoint, Endpoints
from outgoing.models import Delivery, Flow
from outgoing.querysets import LEASE_SECONDS, LIMITED, PARKED, Claim
from subscriptions.models import Subscription
from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.rates import RateLimit

log = structlog.get_logger(__name__)

# Members of an enum cost microseconds to look up, and these are asked of for every POST.
CLOSED: Final = Subscription.Breaker.CLOSED.value
OPEN: Final = Subscription.Breaker.OPEN.value
HALF_OPEN: Final = Subscription.Breaker.HALF_OPEN.value

LOOK_SECONDS: Final = 0.05  # how often our own flows are looked at for work
QUIET_SECONDS: Final = 0.5  # and those that wait for their rate, their window or a full batch
SEARCH_SECONDS: Final = 0.25  # how often flows that nobody owns are looked for
SEARCH_ALL_SECONDS: Final = 30.0
FLOWS_AT_ONCE: Final = 32  # taken in one search, so that other pumps find some too
IDLE_SECONDS: Final = 10.0  # without work for so long, a flow is given up
UNPARK_SECONDS: Final = 5.0  # how late a parked delivery is found whose turn came unnoticed
POSTS_AHEAD: Final = 400  # that wait in this pump for one subscription at most
ROWS_AT_ONCE: Final = 1_000  # claimed together: as many as the largest batch has
MOVE_ROWS: Final = 1_000


@dataclass(slots=True, eq=False)
class OwnFlow:
    """A flow that this pump owns.

    `others`: attempts that other workers still have under way. `held_until`: how long it surely is
    ours. `has_more`: whether something may be due. `quiet_until`: until when nothing may start.
    """

    subscription_id: UUID
    rate: RateLimit | None = None
    others: int = 0
    held_until: float = 0.0
    has_more: bool = False
    quiet_until: float = 0.0
    busy_at: float = field(default_factory=time.monotonic)
    unpark_after: float = 0.0

    def adopt(self, endpoint: Endpoint) -> None:
        """Go by the subscription's rate as it is now; what was started still counts."""
        if endpoint.rate is None:
            self.rate = None
            return
        limit, period = endpoint.rate
        if self.rate is None or (self.rate.limit, self.rate.period) != (limit, period):
            before = self.rate.state() if self.rate and self.rate.period == period else []
            self.rate = RateLimit(limit, period)
            self.rate.restore(before)


class Flows:
    """The flows of one pump.

    `waiting` and `in_flight` tell of a subscription how many POSTs stand in its line, and how many
    are under way, in this pump; `is_ours` whether a lease token is one of this pump.
    """

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        waiting: Callable[[UUID], int],
        in_flight: Callable[[UUID], int],
        is_ours: Callable[[UUID], bool],
    ) -> None:
        self.owner = new_id()
        self._endpoints = endpoints
        self._waiting = waiting
        self._in_flight = in_flight
        self._is_ours = is_ours
        self._own: dict[UUID, OwnFlow] = {}
        self._look_after = 0.0
        self._search_after = 0.0
        self._search_all_after = 0.0

    def may_start(self, endpoint: Endpoint) -> bool:
        """Whether one POST may start now; it counts as started then."""
        if not self.may_wait(endpoint):
            return False
        rate = self._own[endpoint.subscription_id].rate
        if rate is not None:
            rate.note(time.time())
        return True

    def may_wait(self, endpoint: Endpoint) -> bool:
        """Whether what was claimed is still ours, and within every limit by now."""
        flow = self._own.get(endpoint.subscription_id)
        if flow is None or time.monotonic() >= flow.held_until:
            return False
        if endpoint.breaker == OPEN:
            return False
        if endpoint.breaker == HALF_OPEN and self._in_flight(endpoint.subscription_id):
            return False
        if endpoint.window is not None and not endpoint.window.is_open(clock.now()):
            return False
        flow.adopt(endpoint)
        return flow.rate is None or flow.rate.available(time.time()) > 0

    def claim(self) -> Iterator[list[Claim]]:
        """Take what may start soon; each list is one claim's."""
        now = time.monotonic()
        if now >= self._search_after:
            self._search_after = now + SEARCH_SECONDS
            self._search()
        if now >= self._look_after:
            self._look_after = now + LOOK_SECONDS
            self._look(now)
        for flow in [flow for flow in self._own.values() if flow.has_more]:
            endpoint = self._endpoints.find(flow.subscription_id)
            if endpoint is None or self._waiting(flow.subscription_id) >= endpoint.max_in_flight:
                continue
            flow.has_more = False
            claims = self._claim_of(flow, endpoint)
            if claims:
                yield claims

    def sweep(self) -> None:
        """Renew what is ours, give up what is idle, and put parked ones in line whose turn is."""
        now = time.monotonic()
        for subscription_id in [key for key, flow in self._own.items() if self._is_idle(flow, now)]:
            self._give_up([subscription_id])
        if any(flow.others for flow in self._own.values()):
            self._count_others(self._own.values())
        due = [flow for flow in self._own.values() if now >= flow.unpark_after]
        self._endpoints.load([flow.subscription_id for flow in due])
        for flow in due:
            flow.unpark_after = now + UNPARK_SECONDS
            count = self._unpark(flow.subscription_id)
            if count:
                flow.busy_at = now
            if count == MOVE_ROWS:
                flow.unpark_after = now

    def renew(self) -> None:
        """Keep the lease of what is ours, with the starts that count."""
        if not self._own:
            return
        held_until = time.monotonic() + LEASE_SECONDS
        kept = Flow.objects.renew(self.owner, clock.now())
        for subscription_id in set(self._own) - kept:
            log.warning("a flow was lost", subscription_id=str(subscription_id))
            del self._own[subscription_id]
        for flow in self._own.values():
            flow.held_until = held_until
        self._note_starts(self._own)

    def release(self) -> None:
        """Give all of them up: another pump goes on."""
        self._give_up(list(self._own))

    # --- one flow ---------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """Note which of ours have something due."""
        unknown = [
            flow.subscription_id
            for flow in self._own.values()
            if not flow.has_more and now >= flow.quiet_until
        ]
        if not unknown:
            return
        due = Flow.objects.filter(pk__in=unknown).annotate(first=_first_due(clock.now()))
        found = list(due.filter(first__isnull=False).values_list("pk", flat=True))
        self._endpoints.load(found)
        for subscription_id in found:
            flow = self._own.get(subscription_id)
            if flow is not None:
                flow.has_more = True
                flow.busy_at = now

    def _claim_of(self, flow: OwnFlow, endpoint: Endpoint) -> list[Claim]:
        """Take of one flow what its limits let through, and note whether there may be more."""
        key = flow.subscription_id
        if not endpoint.is_limited:
            Delivery.objects.leave_flow(key, MOVE_ROWS)
            return []
        if endpoint.status != Subscription.Status.ACTIVE:
            archived = endpoint.status == Subscription.Status.ARCHIVED
            ending = Delivery.Status.CANCELLED if archived else Delivery.Status.HELD
            count = Delivery.objects.set_aside(key, ending, MOVE_ROWS)
            if archived:
                note_cancelled(account_id=endpoint.account_id, subscription_id=key, count=count)
            return []
        flow.adopt(endpoint)
        now = clock.now()
        posts = min(self._posts(flow, endpoint, now), ROWS_AT_ONCE // endpoint.batch_size)
        rows = posts * endpoint.batch_size
        if endpoint.batch_size > 1 and rows > 0:
            rows = self._full_batches(endpoint, rows, now)
        if rows <= 0:
            flow.quiet_until = time.monotonic() + _pause(flow, endpoint, now)
            return []
        if endpoint.breaker == OPEN:
            half_open(key)
            self._endpoints.reload([key])
            if endpoint.breaker != HALF_OPEN:
                return []
        with transaction.atomic():
            if not Flow.objects.hold(key, self.owner, now):
                return []
            claims = Delivery.objects.claim_limited(
                key, now=now, limit=rows, in_order=endpoint.in_order
            )
        flow.has_more = len(claims) == rows
        return claims

    def _posts(self, flow: OwnFlow, endpoint: Endpoint, now: datetime) -> int:
        """How many POSTs may be claimed now: some ahead, so that claims are few."""
        if endpoint.window is not None and not endpoint.window.is_open(now):
            return 0
        waiting = self._waiting(flow.subscription_id)
        if endpoint.breaker != CLOSED:
            busy = waiting or self._in_flight(flow.subscription_id) or flow.others
            return int(not busy and may_try(endpoint.breaker, endpoint.breaker_changed_at, now))
        posts = min(POSTS_AHEAD, 6 * endpoint.max_in_flight) - waiting
        if flow.others:
            under_way = self._in_flight(flow.subscription_id) + flow.others
            posts = min(posts, endpoint.max_in_flight - under_way - waiting)
        if flow.rate is not None:
            posts = min(posts, flow.rate.available(now.timestamp()) - waiting)
        return posts

    def _full_batches(self, endpoint: Endpoint, rows: int, now: datetime) -> int:
        """Of so many rows those that make full batches, or all where the oldest waited enough."""
        count, since = Delivery.objects.due_limited(endpoint.subscription_id, now, rows)
        if since is not None and (now - since).total_seconds() >= endpoint.batch_seconds:
            return count
        return count - count % endpoint.batch_size

    # --- whose they are ---------------------------------------------------------------------------

    def _search(self) -> None:
        """Own flows that have work and no owner, or one that went silent."""
        now = clock.now()
        free = Q(flow=None) | Q(flow__leased_until=None) | Q(flow__leased_until__lt=now)
        subscriptions = Subscription.objects.filter(free)
        if time.monotonic() < self._search_all_after:
            subscriptions = subscriptions.filter(is_limited=True)
        else:
            # Also what was left behind by one that has no limits any more.
            self._search_all_after = time.monotonic() + SEARCH_ALL_SECONDS
            self._unpark_unowned()
        found = list(
            subscriptions.order_by()
            .annotate(first=_first_due(now))
            .filter(first__isnull=False)
            .values_list("pk", flat=True)[:FLOWS_AT_ONCE]
        )
        if not found:
            return
        held_until = time.monotonic() + LEASE_SECONDS
        taken = Flow.objects.take(found, self.owner, now)
        self._endpoints.load([flow.pk for flow in taken])
        for row in taken:
            flow = self._own[row.pk] = OwnFlow(row.pk, held_until=held_until)
            endpoint = self._endpoints.find(row.pk)
            if endpoint is None:
                continue
            flow.adopt(endpoint)
            if flow.rate is not None:
                flow.rate.restore(row.starts)
                if row.owner is not None and row.leased_until is not None:
                    # Its owner died, and what it started last is not known: as much as it might.
                    ended = row.leased_until.timestamp()
                    flow.rate.note(ended, flow.rate.available(ended))
        self._count_others([self._own[flow.pk] for flow in taken])

    def _count_others(self, flows: Collection[OwnFlow]) -> None:
        under_way: dict[UUID, int] = {}
        for subscription_id, token in Delivery.objects.under_way():
            if not self._is_ours(token):
                under_way[subscription_id] = under_way.get(subscription_id, 0) + 1
        for flow in flows:
            flow.others = under_way.get(flow.subscription_id, 0)

    def _unpark(self, subscription_id: UUID) -> int:
        endpoint = self._endpoints.find(subscription_id)
        if endpoint is None:
            return 0
        if endpoint.in_order and endpoint.status == Subscription.Status.ACTIVE:
            return Delivery.objects.unpark(subscription_id)
        return Delivery.objects.unpark_all(subscription_id, MOVE_ROWS)

    def _unpark_unowned(self) -> None:
        """Find what was parked and whose turn came while no pump looked after it."""
        parked = Delivery.objects.filter(subscription=OuterRef("pk"), **PARKED)
        unowned = Subscription.objects.filter(Exists(parked), flow__owner=None)
        ids = list(unowned.order_by().values_list("pk", flat=True))
        self._endpoints.load(ids)
        for subscription_id in ids:
            self._unpark(subscription_id)

    def _is_idle(self, flow: OwnFlow, now: float) -> bool:
        key = flow.subscription_id
        busy = self._waiting(key) or self._in_flight(key)
        return not busy and now - flow.busy_at > IDLE_SECONDS

    def _give_up(self, ids: Sequence[UUID]) -> None:
        self._note_starts(ids)
        Flow.objects.filter(pk__in=ids, owner=self.owner).update(owner=None, leased_until=None)
        for subscription_id in ids:
            del self._own[subscription_id]

    def _note_starts(self, ids: Collection[UUID]) -> None:
        for subscription_id in ids:
            rate = self._own[subscription_id].rate
            if rate is not None:
                Flow.objects.filter(pk=subscription_id, owner=self.owner).update(
                    starts=rate.state()
                )


def _pause(flow: OwnFlow, endpoint: Endpoint, now: datetime) -> float:
    """For how many seconds nothing of a flow needs to be looked for."""
    if endpoint.window is not None and not endpoint.window.is_open(now):
        return QUIET_SECONDS
    if endpoint.breaker != CLOSED:
        return QUIET_SECONDS
    if flow.rate is not None and not flow.rate.available(now.timestamp()):
        return min(QUIET_SECONDS, flow.rate.next_at(now.timestamp()) - now.timestamp())
    return QUIET_SECONDS if endpoint.batch_size > 1 else 0.0


def _first_due(now: datetime) -> Subquery:
    """The delivery that is due first of a subscription: one look into an index for each."""
    due = Delivery.objects.filter(subscription=OuterRef("pk"), next_attempt_at__lte=now, **LIMITED)
    # Not EXISTS: a planner may turn that into a scan of everything that is due.
    return Subquery(due.order_by("next_attempt_at").values("pk")[:1])
