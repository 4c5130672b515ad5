"""The delivery engine: claims due deliveries, sends them side by side, records what came of it."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from django import db
from django.db import connection

from outgoing import breakers, conf
from outgoing.cancelled import cancel_archived
from outgoing.claims import Claims
from outgoing.endpoints import Endpoint, Endpoints
from outgoing.flows import Flows
from outgoing.lines import APART_TIMES, Horizon, Lines, UnderWay, Work, lane_of
from outgoing.messages import read_messages
from outgoing.models import Delivery
from outgoing.posts import request_of, why_unsendable
from outgoing.preparing import Preparation, Prepared, as_one
from outgoing.querysets import LANES, LEASE_SECONDS, Claim
from outgoing.results import Results
from outgoing.tokens import Fetch, Tokens
from subscriptions.conf import address_policy
from subscriptions.models import Subscription
from webhooks_project import __version__
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure, Outbound, Response
from webhooks_project.lib.sql import wait_for_writers
from webhooks_project.lib.turns import Turns
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)

CLAIM_ROWS: Final = 400
ACTIVE: Final = Subscription.Status.ACTIVE.value
HANGING_SECONDS: Final = 2.0  # under way for longer, an attempt is in nobody's way
SWEEP_SECONDS: Final = 1.0  # how often lost claims and held deliveries are looked for
LOCK_SECONDS: Final = 4.0  # waited for SQLite's one writer, so that leases can be renewed in time
TURN_SECONDS: Final = 0.01  # before a claim that was refused is made again
AWAKE_SECONDS: Final = 0.025  # how often a pump with something under way looks into its table
RENEW_SECONDS: Final = LEASE_SECONDS / 4
DATABASE_PAUSE_SECONDS: Final = 0.5  # between tries while the database is away


class DeliveryPump:
    """One pump's work: `run` drains the queue until the place's turn is over."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._outbound = Outbound(
            policy=address_policy(),
            max_in_flight=conf.in_flight() * (1 + APART_TIMES),
            user_agent=f"webhooks-hub/{__version__}",
        )
        self._endpoints = Endpoints()
        self._claims = Claims()
        self._turns = Turns()
        self._results = Results(self._claims, place.name)
        self._preparation = Preparation(self._endpoints, self._claims.read_data)
        self._tokens = Tokens(self._outbound)
        self._lines = Lines(
            capacity=conf.in_flight(),
            cap=lambda key: self._endpoints.get(key).max_in_flight,
            may_start=self._may_start,
        )
        self._flows = Flows(
            self._endpoints,
            waiting=self._waiting_posts,
            in_flight=self._lines.in_flight_of,
            is_ours=self._claims.is_ours,
        )
        self._horizons: defaultdict[int, Horizon] = defaultdict(Horizon)
        self._under_way = UnderWay()
        self._looked_at = -math.inf  # when the last claim that did not find anything was made
        self._was_refused = False  # that claim, since another process was writing
        self._left_out: Sequence[UUID] = ()  # of it
        self._sweep_after = self._renew_after = 0.0

    def run(self) -> int:
        """Work until the turn is over; then leave the place, finish what is under way, and end.

        While the database is away, what is under way goes on and its results are kept. Returns
        how many attempts were recorded.
        """
        wait_for_writers(LOCK_SECONDS)
        while True:
            try:
                if not self._place.goes_on():
                    break
                self._sweep()
                self._claim()
                self._turn()
            except (db.OperationalError, db.InterfaceError) as error:
                self._wait_for_database(error)
        self._hand_over()
        self._preparation.close()
        self._outbound.close()
        return self._results.recorded

    def _turn(self) -> None:
        """Start what may start, take in what has ended, write it down when that is due."""
        if self._preparation.is_pending:
            self._line_up(self._preparation.collect())
        for work in self._under_way.take_older(time.monotonic() - HANGING_SECONDS):
            self._lines.set_apart(work)  # those that hang leave their room to others
        started = self._start()
        if self._outbound.in_flight:
            for subject, response in self._outbound.wait(self._wait_seconds()):
                self._take_in(subject, response)
        elif not self._results and not started:
            time.sleep(self._wait_seconds())
        if self._results.are_due(is_idle=not self._outbound.in_flight and not self._lines.ready):
            self._record()

    def _wait_seconds(self) -> float:
        """How long to wait for an answer before it is time to look for more to do."""
        if not self._has_room:
            return POLL_SECONDS
        return min(max(0.0, self._next_claim_at() - time.monotonic()), POLL_SECONDS)

    @property
    def _has_room(self) -> bool:
        return not self._results.are_many and self._lines.wants(Delivery.Lane.FIRST)

    def _next_claim_at(self) -> float:
        if self._was_refused or self._lines.has_drained(self._left_out):
            return self._looked_at + TURN_SECONDS
        return self._looked_at + (AWAKE_SECONDS if self._outbound.in_flight else POLL_SECONDS)

    def _hand_over(self) -> None:
        """Free the place for the next pump, give back what was not started, finish the rest."""
        left, self._looked_at = False, math.inf  # it claims no more
        while not left or self._outbound.in_flight or self._results or self._claims.are_leaving:
            try:
                if not left:
                    self._place.leave()
                    self._give_back_all()
                    self._flows.release()
                    left = True
                    continue
                self._sweep()
                self._turn()
            except (db.OperationalError, db.InterfaceError) as error:
                self._wait_for_database(error)

    def _wait_for_database(self, error: Exception) -> None:
        log.warning("the database is away", error=str(error)[:200])
        db.close_old_connections()
        for subject, response in self._outbound.wait(DATABASE_PAUSE_SECONDS):
            self._take_in(subject, response)
        if not self._outbound.in_flight:
            time.sleep(DATABASE_PAUSE_SECONDS)
        with suppress(db.OperationalError, db.InterfaceError):
            wait_for_writers(LOCK_SECONDS)

    # --- claims -----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Renew our own claims; take up what others lost, and what was held and is no longer."""
        if self._claims.are_leaving:
            self._claims.settle()
        now = time.monotonic()
        if not self._claims:
            self._renew_after = now + RENEW_SECONDS
        elif now >= self._renew_after:
            if now >= self._claims.sure_until:
                # This process was frozen, or the database away, for longer than a lease: what is
                # not sent yet may be another's by now. What is still ours goes back in line.
                self._give_back_all()
            self._claims.renew(older_than=RENEW_SECONDS)
            self._renew_after = now + RENEW_SECONDS
        if now >= self._sweep_after:
            self._sweep_after = now + SWEEP_SECONDS
            released = Delivery.objects.release_expired(clock.now())
            if released:
                log.warning("claims of a lost worker released", count=released)
            breakers.share_successes()
            self._notice_changes()
            self._flows.renew()
            self._flows.sweep()
            if Delivery.objects.filter(status=Delivery.Status.HELD).exists():
                Delivery.objects.restore_held(clock.now(), CLAIM_ROWS)
                cancel_archived(CLAIM_ROWS)

    def _notice_changes(self) -> None:
        """Go by what subscriptions are now, also for what was claimed a while ago."""
        waiting = self._lines.waiting()
        if not waiting:
            return
        self._endpoints.reload(waiting)
        for subscription_id in waiting:
            endpoint = self._endpoints.get(subscription_id)
            if endpoint.status != ACTIVE:
                self._claims.put_aside(self._lines.withdraw(subscription_id))
            elif self._may_wait(endpoint):
                self._lines.notice_cap(subscription_id)
            else:
                self._claims.give_over(self._lines.withdraw(subscription_id))

    def _may_wait(self, endpoint: Endpoint) -> bool:
        """Whether what stands in a subscription's line may stay there."""
        works = self._lines.waiting_works(endpoint.subscription_id)
        if any(work.is_limited != endpoint.is_limited for work in works):
            return False
        return not endpoint.is_limited or self._flows.may_wait(endpoint)

    def _may_start(self, work: Work) -> bool:
        endpoint = work.endpoint
        if endpoint.status != ACTIVE or endpoint.is_limited != work.is_limited:
            return False  # `_notice_changes` takes it out
        return not work.is_limited or self._flows.may_start(endpoint)

    def _waiting_posts(self, subscription_id: UUID) -> int:
        in_line = self._lines.waiting_of(subscription_id)
        return in_line + self._preparation.waiting_posts(subscription_id)

    def _claim(self) -> None:
        began = time.monotonic()
        for limited in self._flows.claim():
            self._queue_or_forget(limited, began, is_limited=True)
            began = time.monotonic()
        if time.monotonic() < self._next_claim_at() or not self._has_room:
            return
        full = [*self._lines.full(), *self._preparation.full()]
        since = {lane: self._horizons[lane].since(full, time.monotonic()) for lane in LANES}
        now = clock.now()
        due = Delivery.objects.lanes_due(now, except_subscriptions=full, since=since)
        found = False
        for lane in LANES:
            if lane not in due:
                self._horizons[lane].note(full, first=None, at=now)
            elif self._lines.wants(lane):
                began = time.monotonic()
                claims = self._take(lane, full, since[lane])
                if claims is None:
                    self._looked_at, self._was_refused = time.monotonic(), True
                    return
                if claims:
                    found = True
                    self._queue_or_forget(claims, began, is_limited=False)
        self._looked_at = -math.inf if found else time.monotonic()
        self._was_refused, self._left_out = False, () if found else self._lines.full()

    def _take(
        self, lane: int, full: Sequence[UUID], since: datetime | None
    ) -> Sequence[Claim] | None:
        """Claim of a lane; None where another process is writing and this does not wait."""
        with self._turns.take(connection, waits=not self._outbound.in_flight) as has_turn:
            if not has_turn:
                return None
            now = clock.now()  # a lease begins when the turn is had
            claims = Delivery.objects.claim(
                now=now, lane=lane, limit=CLAIM_ROWS, except_subscriptions=full, since=since
            )
        self._horizons[lane].note(full, first=claims[0].due_at if claims else None, at=now)
        return claims

    def _queue_or_forget(self, claims: Sequence[Claim], began: float, is_limited: bool) -> None:
        self._claims.add(claims, began)
        try:
            self._queue(claims, is_limited)
        except (db.OperationalError, db.InterfaceError):
            self._claims.forget(claims)
            raise

    def _queue(self, claims: Sequence[Claim], is_limited: bool) -> None:
        self._endpoints.load({claim.subscription_id for claim in claims})
        messages = read_messages({claim.event_id for claim in claims})
        works: list[Work] = []
        misplaced: list[Work] = []
        unsendable: list[Work] = []
        for claim in claims:
            message = messages.get(claim.event_id)
            endpoint = self._endpoints.find(claim.subscription_id)
            if message is None or endpoint is None:
                self._claims.close(claim.token)  # deleted with its account meanwhile
                continue
            work = Work(
                claim=claim,
                lane=lane_of(claim.trigger),
                message=message,
                endpoint=endpoint,
                is_limited=is_limited,
            )
            if endpoint.status != ACTIVE:
                unsendable.append(work)
            elif endpoint.is_limited != is_limited:
                misplaced.append(work)
            else:
                works.append(work)
        self._claims.put_aside(unsendable)
        self._claims.give_over(misplaced)
        self._line_up(self._preparation.prepare(works))

    def _line_up(self, prepared: Prepared) -> None:
        for work in prepared.ready:
            self._lines.add(work)
        for work, detail in prepared.failed:  # attempts that end before they can be sent
            work.started_at, work.timestamp = clock.now(), int(time.time())
            self._results.note(work, Response(failure=Failure.TRANSFORMATION, detail=detail))
        if prepared.nothing:
            self._claims.cancel_nothing(prepared.nothing)

    def _give_back_all(self) -> None:
        without_token = self._tokens.drain()
        for work in without_token:
            self._ended(work)
        waiting = [*self._lines.drain(), *self._preparation.drain(), *without_token]
        self._claims.give_back(waiting)

    # --- attempts ---------------------------------------------------------------------------------

    def _start(self) -> int:
        """Start what may start now. Returns how many POSTs that were."""
        count, sure_until = 0, self._claims.sure_until
        while time.monotonic() < sure_until and (work := self._lines.take()) is not None:
            count += 1
            self._under_way.start(work, time.monotonic())
            work.started_at = clock.now()
            if self._has_data(work):
                self._send(work)
        return count

    def _ended(self, work: Work) -> None:
        self._under_way.end(work)
        self._lines.ended(work)

    def _send(self, work: Work) -> None:
        """Begin the request, unless it has to wait for a token first."""
        endpoint = work.endpoint
        work.timestamp = int(time.time())
        work.security = endpoint.security
        failed = why_unsendable(endpoint)
        if failed is None:
            token = self._tokens.token_for(work, endpoint)
            if token is None:
                return
            made = token if isinstance(token, Response) else request_of(work, token)
            if isinstance(made, Response):
                failed = made
            else:
                work.request = made
                failed = self._outbound.start(made, work)
        if failed is not None:
            self._end(work, failed)

    def _take_in(self, subject: Work | Fetch, response: Response) -> None:
        """What has ended: a delivery, or the fetch of a token that deliveries wait for."""
        if isinstance(subject, Fetch):
            again = self._tokens.take_in(subject, response)
        elif self._tokens.is_refused(subject, response):
            again = [subject]
        else:
            again = []
            self._end(subject, response)
        for work in again:
            if time.monotonic() < self._claims.sure_until:
                self._send(work)
            else:  # frozen meanwhile: it may be another's by now
                self._ended(work)
                self._lines.add(work)

    def _has_data(self, work: Work) -> bool:
        """Whether all data of a POST is there; else its turn comes again without what is gone."""
        if not work.batched and work.message.data is not None:
            return True
        try:
            left = [one for one in work.all if self._claims.read_data(one)]
        except (db.OperationalError, db.InterfaceError):
            self._ended(work)
            self._lines.add(work)
            raise
        if len(left) == len(work.all):
            return True
        self._ended(work)
        if left:
            self._lines.add(as_one(left))
        return False

    def _end(self, work: Work, response: Response) -> None:
        self._ended(work)
        self._results.note(work, response)

    def _record(self) -> None:
        moved = self._results.record(waits=not self._outbound.in_flight)
        if moved:
            self._endpoints.reload(moved)
