"""The delivery engine: claims due deliveries, sends them side by side, records what came of it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Final
from uuid import UUID

import structlog
from django import db
from django.db.models import Case, F, When
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual

from outgoing import conf
from outgoing.endpoints import Endpoint, Endpoints
from outgoing.judge import next_step
from outgoing.lines import Lines, Message, Work
from outgoing.models import Delivery, Event
from outgoing.payload import CONTENT_TYPE, signed_headers, webhook_id_of
from outgoing.querysets import LEASE_SECONDS, Claim
from outgoing.record import Result, record_results
from outgoing.tokens import Fetch, Tokens
from subscriptions.conf import address_policy
from subscriptions.models import Subscription
from webhooks_project import __version__
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure, Outbound, Request, Response
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)

CLAIM_ROWS: Final = 400
ACTIVE: Final = Subscription.Status.ACTIVE.value
RECORD_ROWS: Final = 400  # written together at most
RECORD_SECONDS: Final = 0.1  # and this late at most
SWEEP_SECONDS: Final = 1.0  # how often lost claims and held deliveries are looked for
RENEW_SECONDS: Final = LEASE_SECONDS / 4
SMALL_DATA_BYTES: Final = 32 * 1024  # read with the claim; larger ones when their turn comes
DATABASE_PAUSE_SECONDS: Final = 0.5  # between tries while the database is away


class DeliveryPump:
    """One pump's work: `run` drains the queue until the place's turn is over."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._outbound = Outbound(
            policy=address_policy(),
            max_in_flight=conf.in_flight(),
            user_agent=f"webhooks-hub/{__version__}",
        )
        self._endpoints = Endpoints()
        self._tokens = Tokens(self._outbound)
        self._lines = Lines(
            capacity=conf.in_flight(), cap=lambda key: self._endpoints.get(key).max_in_flight
        )
        self._results: list[Result] = []
        self._result_since = 0.0
        self._open: dict[UUID, int] = {}  # claims that have not ended, by their token
        self._claim_after = 0.0
        self._sweep_after = 0.0
        self._renew_after = 0.0
        self._recorded = 0

    def run(self) -> int:
        """Work until the turn is over; then leave the place, finish what is under way, and end.

        While the database is away, what is under way goes on and its results are kept. Returns
        how many attempts were recorded.
        """
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
        self._outbound.close()
        return self._recorded

    def _turn(self) -> None:
        """Start what may start, take in what has ended, write it down when that is due."""
        self._start()
        if self._outbound.in_flight:
            for subject, response in self._outbound.wait(POLL_SECONDS):
                self._take_in(subject, response)
        elif not self._results and not self._lines.ready:
            time.sleep(POLL_SECONDS)
        late = time.monotonic() - self._result_since >= RECORD_SECONDS
        idle = not self._outbound.in_flight and not self._lines.ready
        if self._results and (late or idle or len(self._results) >= RECORD_ROWS):
            self._record()

    def _hand_over(self) -> None:
        """Free the place for the next pump, give back what was not started, finish the rest."""
        left = False
        while not left or self._outbound.in_flight or self._results:
            try:
                if not left:
                    self._place.leave()
                    self._give_back(self._lines.drain())
                    left = True
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

    # --- claims -----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Renew our own claims; take up what others lost, and what was held and is no longer."""
        now = time.monotonic()
        if not self._open:
            self._renew_after = now + RENEW_SECONDS
        elif now >= self._renew_after:
            if now - self._renew_after > LEASE_SECONDS - RENEW_SECONDS:
                # This process was frozen, or the database away, for longer than a lease: what is
                # not sent yet may be another's by now. What is still ours goes back in line.
                self._give_back(self._lines.drain())
                for work in (waiting := self._tokens.drain()):
                    self._lines.ended(work)
                self._give_back(waiting)
            Delivery.objects.renew_leases(list(self._open), clock.now())
            self._renew_after = now + RENEW_SECONDS
        if now >= self._sweep_after:
            self._sweep_after = now + SWEEP_SECONDS
            released = Delivery.objects.release_expired(clock.now())
            if released:
                log.warning("claims of a lost worker released", count=released)
            self._notice_changes()
            if Delivery.objects.filter(status=Delivery.Status.HELD).exists():
                Delivery.objects.restore_held(clock.now(), CLAIM_ROWS)
                Delivery.objects.cancel_archived(CLAIM_ROWS)

    def _notice_changes(self) -> None:
        """Go by what subscriptions are now, also for what was claimed a while ago."""
        waiting = self._lines.waiting()
        if not waiting:
            return
        self._endpoints.reload(waiting)
        for subscription_id in waiting:
            if self._endpoints.get(subscription_id).status == Subscription.Status.ACTIVE:
                self._lines.notice_cap(subscription_id)
            else:
                self._put_aside(self._lines.withdraw(subscription_id))

    def _claim(self) -> None:
        if time.monotonic() < self._claim_after or not self._lines.wants(Delivery.Lane.FIRST):
            return
        now = clock.now()
        full = self._lines.full()
        found = False
        for lane in Delivery.objects.lanes_due(now):
            if not self._lines.wants(lane):
                continue
            claims = Delivery.objects.claim(
                now=now, lane=lane, limit=CLAIM_ROWS, except_subscriptions=full
            )
            if claims:
                found = True
                self._open[claims[0].token] = len(claims)
                try:
                    self._queue(claims, lane)
                except (db.OperationalError, db.InterfaceError):
                    # Not renewed any more, they are due again when their lease ends.
                    del self._open[claims[0].token]
                    raise
        self._claim_after = time.monotonic() + (0 if found else POLL_SECONDS)

    def _queue(self, claims: Collection[Claim], lane: int) -> None:
        self._endpoints.load({claim.subscription_id for claim in claims})
        messages = _read_messages({claim.event_id for claim in claims})
        unsendable: list[Work] = []
        for claim in claims:
            message = messages.get(claim.event_id)
            endpoint = self._endpoints.find(claim.subscription_id)
            if message is None or endpoint is None:
                self._close_claim(claim.token)  # deleted with its account meanwhile
                continue
            work = Work(claim=claim, lane=lane, message=message)
            if endpoint.status == ACTIVE:
                self._lines.add(work)
            else:
                unsendable.append(work)
        self._put_aside(unsendable)

    def _put_aside(self, works: Sequence[Work]) -> None:
        """What was claimed for a subscription that is not active: held, or cancelled for good."""
        groups: dict[tuple[UUID, Delivery.Status], list[UUID]] = {}
        for work in works:
            status = self._endpoints.get(work.claim.subscription_id).status
            archived = status == Subscription.Status.ARCHIVED
            ending = Delivery.Status.CANCELLED if archived else Delivery.Status.HELD
            groups.setdefault((work.claim.token, ending), []).append(work.claim.delivery_id)
        for (token, ending), ids in groups.items():
            Delivery.objects.all().finish(ids, token, {"status": ending})
            self._close_claim(token, len(ids))

    def _give_back(self, works: Sequence[Work]) -> None:
        by_claim: dict[tuple[UUID, int], list[UUID]] = {}
        for work in works:
            by_claim.setdefault((work.claim.token, work.lane), []).append(work.claim.delivery_id)
        for (token, lane), ids in by_claim.items():
            Delivery.objects.release(ids, token, lane)
            self._close_claim(token, len(ids))

    def _close_claim(self, token: UUID, count: int = 1) -> None:
        self._open[token] -= count
        if not self._open[token]:
            del self._open[token]

    # --- attempts ---------------------------------------------------------------------------------

    def _start(self) -> None:
        while (work := self._lines.take()) is not None:
            endpoint = self._endpoints.get(work.claim.subscription_id)
            work.started_at = clock.now()
            if work.message.data is None and not self._read_data(work):
                continue
            self._send(work, endpoint)

    def _send(self, work: Work, endpoint: Endpoint) -> None:
        """Begin the request, unless it has to wait for a token first."""
        work.timestamp = int(time.time())
        work.security = endpoint.security
        work.request_bytes = len(work.message.body)
        failed: Response | None
        if not endpoint.keys:
            failed = Response(failure=Failure.UNSIGNABLE, detail="no signing secret can be read")
        elif not endpoint.security.is_readable:
            failed = Response(
                failure=Failure.CREDENTIALS_UNREADABLE, detail="its security cannot be read"
            )
        else:
            token = self._tokens.token_for(work, endpoint)
            if token is None:
                return
            failed = (
                self._outbound.start(_request(work, endpoint, token), work)
                if isinstance(token, str)
                else token
            )
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
            self._send(work, self._endpoints.get(work.claim.subscription_id))

    def _read_data(self, work: Work) -> bool:
        """Read a large event's data; False where it was deleted with its account meanwhile."""
        found = Event.objects.filter(pk=work.claim.event_id).values_list("data", flat=True)
        try:
            data = found.first()
        except (db.OperationalError, db.InterfaceError):
            self._lines.ended(work)
            self._lines.add(work)  # its turn comes again
            raise
        if data is None:
            self._lines.ended(work)
            self._close_claim(work.claim.token)
            return False
        work.message.data = bytes(data)
        return True

    def _end(self, work: Work, response: Response) -> None:
        self._lines.ended(work)
        claim = work.claim
        assert work.started_at is not None  # noqa: S101 - it was started
        if not self._results:
            self._result_since = time.monotonic()
        self._results.append(
            Result(
                claim=claim,
                account_id=self._endpoints.get(claim.subscription_id).account_id,
                correlation_id=work.message.correlation_id,
                response=response,
                step=next_step(
                    response,
                    number=claim.attempt_count - claim.attempts_before + 1,
                    now=clock.now(),
                ),
                started_at=work.started_at,
                timestamp=work.timestamp,
                request_bytes=work.request_bytes,
                security=work.security,
            )
        )

    def _record(self) -> None:
        results = self._results[:RECORD_ROWS]
        try:
            stored = record_results(results, worker=self._place.name)
        except (db.DataError, db.IntegrityError, ValueError):
            # What a receiver sent must not keep the others' results from being written down.
            log.exception("results are recorded one by one", count=len(results))
            stored = sum(self._record_one(result) for result in results)
        del self._results[: len(results)]
        for result in results:
            self._close_claim(result.claim.token)
        self._recorded += stored
        if stored < len(results):
            log.warning("results of lost claims dropped", count=len(results) - stored)

    def _record_one(self, result: Result) -> int:
        for attempt in (result, result.without_answer()):
            try:
                return record_results([attempt], worker=self._place.name)
            except (db.DataError, db.IntegrityError, ValueError):
                log.exception("result not recorded", delivery_id=str(result.claim.delivery_id))
        return 0


def _read_messages(event_ids: Collection[UUID]) -> dict[UUID, Message]:
    rows = (
        Event.objects.filter(pk__in=event_ids)
        .annotate(
            small_data=Case(
                When(LessThanOrEqual(Length("data"), SMALL_DATA_BYTES), then=F("data")),
                default=None,
            )
        )
        .values_list("pk", "type", "occurred_at", "correlation_id", "small_data")
    )
    return {
        key: Message(
            type=type_,
            occurred_at=occurred_at,
            correlation_id=correlation_id,
            data=None if data is None else bytes(data),
        )
        for key, type_, occurred_at, correlation_id, data in rows
    }


def _request(work: Work, endpoint: Endpoint, token: str) -> Request:
    security = endpoint.security
    body, content_type = security.seal(work.message.body, CONTENT_TYPE)
    work.request_bytes = len(body)
    return Request(
        url=endpoint.url,
        headers=signed_headers(
            message_id=webhook_id_of(work.claim.event_id),
            timestamp=work.timestamp,
            body=body,
            keys=endpoint.keys,
            replay_id=work.claim.replay_id,
            content_type=content_type,
            security=security,
            token=token,
        ),
        body=body,
        timeout_seconds=endpoint.timeout_seconds,
        identity=security.identity,
    )
