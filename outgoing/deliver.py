"""The delivery engine: claims due deliveries, sends them side by side, records what came of it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Final
from uuid import UUID

import structlog
from django import db
from django.db import connection, transaction

from outgoing import breakers, conf
from outgoing.bodies import hash_of, is_reproducible
from outgoing.cancelled import cancel_archived, note_all_cancelled
from outgoing.endpoints import Endpoint, Endpoints
from outgoing.flows import Flows
from outgoing.judge import next_step
from outgoing.lines import APART_TIMES, Horizon, Lines, Work
from outgoing.models import Delivery, Event
from outgoing.payload import Message, batch_id_of, shown_headers
from outgoing.posts import post_of
from outgoing.querysets import LEASE_SECONDS, Claim
from outgoing.record import Result, record_results
from outgoing.shaping import Shaper
from outgoing.tokens import Fetch, Tokens
from subscriptions.conf import address_policy
from subscriptions.models import Subscription
from subscriptions.versions import Downgrades, downgrades_of, steps_down
from webhooks_project import __version__
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Failure, Outbound, Request, Response
from webhooks_project.lib.sql import select_by_key, wait_for_writers
from webhooks_project.lib.turns import turn_to_write
from webhooks_project.pumps import POLL_SECONDS, Place

log = structlog.get_logger(__name__)

CLAIM_ROWS: Final = 400
FIRST: Final = Delivery.Trigger.FIRST.value
FIRST_LANE: Final = Delivery.Lane.FIRST.value
AGAIN_LANE: Final = Delivery.Lane.AGAIN.value
NOTHING_TO_SEND: Final = "nothing_to_send"  # why a delivery was cancelled: its transformation
ACTIVE: Final = Subscription.Status.ACTIVE.value
RECORD_ROWS: Final = 400  # written together at most
RECORD_SECONDS: Final = 0.1  # and this late at most
HANGING_SECONDS: Final = 2.0  # under way for longer, an attempt is in nobody's way
SWEEP_SECONDS: Final = 1.0  # how often lost claims and held deliveries are looked for
LOCK_SECONDS: Final = 4.0  # waited for SQLite's one writer, so that leases can be renewed in time
RENEW_SECONDS: Final = LEASE_SECONDS / 4
BATCH_BYTES: Final = 4 * 1024 * 1024  # of data in one POST; a batch with more is split
SMALL_DATA_BYTES: Final = 32 * 1024  # read with the claim; larger ones when their turn comes
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
            is_ours=lambda token: token in self._open,
        )
        self._shaper = Shaper()
        self._shaped: dict[UUID, list[Work]] = {}  # on the way to their batch
        self._nothing: list[Work] = []  # shaped, and nothing is to be sent
        self._horizons: defaultdict[int, Horizon] = defaultdict(Horizon)
        self._started: dict[Work, float] = {}  # under way since, the first one first
        self._results: list[Result] = []
        self._result_since = 0.0
        self._open: dict[UUID, int] = {}  # claims that have not ended, by their token
        self._claim_after = 0.0
        self._left_out: Sequence[UUID] = ()  # of the last claim, where that found nothing
        self._sweep_after = 0.0
        self._renew_after = 0.0
        self._recorded = 0

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
        self._shaper.close()
        self._outbound.close()
        return self._recorded

    def _turn(self) -> None:
        """Start what may start, take in what has ended, write it down when that is due."""
        if self._shaper.pending or self._nothing:
            self._take_shaped()
        self._set_apart()
        started = self._start()
        if self._outbound.in_flight:
            for subject, response in self._outbound.wait(self._wait_seconds()):
                self._take_in(subject, response)
        elif not self._results and not started:
            time.sleep(POLL_SECONDS)
        late = time.monotonic() - self._result_since >= RECORD_SECONDS
        idle = not self._outbound.in_flight and not self._lines.ready
        if self._results and (late or idle or len(self._results) >= RECORD_ROWS):
            self._record()

    def _wait_seconds(self) -> float:
        """How long to wait for an answer before it is time to look for more to do."""
        until_claim = self._claim_after - time.monotonic()
        return until_claim if 0 < until_claim < POLL_SECONDS else POLL_SECONDS

    def _hand_over(self) -> None:
        """Free the place for the next pump, give back what was not started, finish the rest."""
        left = False
        while not left or self._outbound.in_flight or self._results:
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
        now = time.monotonic()
        if not self._open:
            self._renew_after = now + RENEW_SECONDS
        elif now >= self._renew_after:
            if now - self._renew_after > LEASE_SECONDS - RENEW_SECONDS:
                # This process was frozen, or the database away, for longer than a lease: what is
                # not sent yet may be another's by now. What is still ours goes back in line.
                self._give_back_all()
            Delivery.objects.renew_leases(list(self._open), clock.now())
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
                self._put_aside(self._lines.withdraw(subscription_id))
            elif self._may_wait(endpoint):
                self._lines.notice_cap(subscription_id)
            else:
                works = self._lines.withdraw(subscription_id)
                for work in _each(works):
                    work.is_limited = endpoint.is_limited
                self._give_back(works)

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
        rows = self._shaper.pending_of(subscription_id) + len(self._shaped.get(subscription_id, ()))
        batch_size = self._endpoints.get(subscription_id).batch_size if rows else 1
        return self._lines.waiting_of(subscription_id) - (-rows // batch_size)

    def _claim(self) -> None:
        for claims in self._flows.claim():
            self._open[claims[0].token] = len(claims)
            self._queue_or_forget(claims, is_limited=True)
        if time.monotonic() < self._claim_after and not self._lines.has_drained(self._left_out):
            return
        if not self._lines.wants(Delivery.Lane.FIRST):
            return
        now = clock.now()
        full = [*self._lines.full(), *self._shaper.full()]
        found = False
        for lane in Delivery.objects.lanes_due(now):
            if not self._lines.wants(lane):
                continue
            horizon = self._horizons[lane]
            with self._turn_to_write() as has_turn:
                if not has_turn:
                    return
                claims = Delivery.objects.claim(
                    now=now,
                    lane=lane,
                    limit=CLAIM_ROWS,
                    except_subscriptions=full,
                    since=horizon.since(full, time.monotonic()),
                )
            first = claims[0].due_at if claims else None
            horizon.note(full, first=first, at=now)
            if claims:
                found = True
                self._open[claims[0].token] = len(claims)
                self._queue_or_forget(claims)
        self._claim_after = time.monotonic() + (0 if found else POLL_SECONDS)
        self._left_out = () if found else self._lines.full()

    def _queue_or_forget(self, claims: Sequence[Claim], *, is_limited: bool = False) -> None:
        try:
            self._queue(claims, is_limited)
        except (db.OperationalError, db.InterfaceError):
            # Not renewed any more, they are due again when their lease ends.
            self._open.pop(claims[0].token, None)
            raise

    def _queue(self, claims: Sequence[Claim], is_limited: bool) -> None:
        self._endpoints.load({claim.subscription_id for claim in claims})
        messages = _read_messages({claim.event_id for claim in claims})
        works: list[Work] = []
        misplaced: list[Work] = []
        unsendable: list[Work] = []
        for claim in claims:
            message = messages.get(claim.event_id)
            endpoint = self._endpoints.find(claim.subscription_id)
            if message is None or endpoint is None:
                self._close_claim(claim.token)  # deleted with its account meanwhile
                continue
            work = Work(
                claim=claim,
                lane=FIRST_LANE if claim.trigger == FIRST else AGAIN_LANE,
                message=message,
                endpoint=endpoint,
                is_limited=is_limited,
            )
            if endpoint.status != ACTIVE:
                unsendable.append(work)
            elif endpoint.is_limited != is_limited:
                work.is_limited = endpoint.is_limited
                misplaced.append(work)
            else:
                works.append(work)
        self._put_aside(unsendable)
        self._give_back(misplaced)
        self._shape_or_line_up(works)

    def _shape_or_line_up(self, works: Sequence[Work]) -> None:
        """Work whose data is to be computed goes there first, all other into its line."""
        downgrades = self._downgrades(works)
        to_shape: list[Work] = []
        ready: list[Work] = []
        unshapable: list[Work] = []
        for work in works:
            endpoint = work.endpoint
            steps = _steps_down(endpoint, work.message, downgrades)
            if steps is None:
                unshapable.append(work)
                continue
            work.shape = replace(endpoint.shape, downgrades=steps) if steps else endpoint.shape
            (to_shape if work.shape.is_computed else ready).append(work)
        # Before anything stands in line: the database may fail, and all of the claim be forgotten.
        to_shape = [work for work in to_shape if self._read_data(work)]
        for work in self._batched(ready):
            self._lines.add(work)
        self._shaper.submit(to_shape)
        for work in unshapable:
            self._fail(work, Failure.TRANSFORMATION, "no way back to the pinned schema version")

    def _downgrades(self, works: Sequence[Work]) -> dict[tuple[UUID, str], dict[int, str]]:
        pinned: dict[UUID, set[str]] = {}
        for work in works:
            endpoint = work.endpoint
            if work.message.type in endpoint.schema_versions:
                pinned.setdefault(endpoint.account_id, set()).add(work.message.type)
        return downgrades_of(pinned) if pinned else {}

    def _take_shaped(self) -> None:
        for shaped in self._shaper.collect():
            if shaped.failure:
                self._fail(shaped.work, Failure.TRANSFORMATION, shaped.failure)
            elif shaped.is_nothing:
                self._nothing.append(shaped.work)
            else:
                self._shaped.setdefault(shaped.work.claim.subscription_id, []).append(shaped.work)
        for key, works in list(self._shaped.items()):
            count = len(works)
            if self._shaper.pending_of(key):
                count -= count % self._endpoints.get(key).batch_size
            self._shaped[key] = works[count:]
            if not self._shaped[key]:
                del self._shaped[key]
            for work in self._batched(works[:count]):
                self._lines.add(work)
        self._cancel_nothing()

    def _cancel_nothing(self) -> None:
        values = {"status": Delivery.Status.CANCELLED, "last_cause": NOTHING_TO_SEND}
        while self._nothing:
            claim = self._nothing[-1].claim
            with transaction.atomic():
                ended = Delivery.objects.all().finish([claim.delivery_id], claim.token, values)
                note_all_cancelled(ended)
                if claim.order_key is not None:
                    Delivery.objects.unpark_after([claim.delivery_id])
            self._nothing.pop()
            self._close_claim(claim.token)

    def _batched(self, works: Sequence[Work]) -> list[Work]:
        """The same work, those of one subscription together where it takes batches.

        Of so many bytes at most, save where one alone has more.
        """
        groups: dict[UUID, list[Work]] = {}
        rest: list[Work] = []
        sizes: Counter[UUID] = Counter()
        for work in works:
            endpoint = work.endpoint
            if endpoint.batch_size == 1 or not work.is_limited:
                rest.append(work)
                continue
            key = work.claim.subscription_id
            size = work.message.bytes_for(work.shape)
            if key in groups and sizes[key] + size > BATCH_BYTES:
                rest.append(_as_one(groups.pop(key)))
            if key not in groups:
                groups[key] = []
                sizes[key] = 0
            groups[key].append(work)
            sizes[key] += size
            if len(groups[key]) == endpoint.batch_size:
                rest.append(_as_one(groups.pop(key)))
        return [*rest, *map(_as_one, groups.values())]

    def _fail(self, work: Work, failure: Failure, detail: str) -> None:
        """An attempt that ended before it could be sent."""
        work.started_at = clock.now()
        work.timestamp = int(time.time())
        self._note(work, Response(failure=failure, detail=detail))

    def _put_aside(self, works: Sequence[Work]) -> None:
        """What was claimed for a subscription that is not active: held, or cancelled for good."""
        groups: dict[tuple[UUID, Delivery.Status], list[UUID]] = {}
        for work in _each(works):
            archived = work.endpoint.status == Subscription.Status.ARCHIVED
            ending = Delivery.Status.CANCELLED if archived else Delivery.Status.HELD
            groups.setdefault((work.claim.token, ending), []).append(work.claim.delivery_id)
        for (token, ending), ids in groups.items():
            ended = Delivery.objects.all().finish(ids, token, {"status": ending})
            if ending == Delivery.Status.CANCELLED:
                note_all_cancelled(ended)
            self._close_claim(token, len(ids))

    def _give_back_all(self) -> None:
        without_token = self._tokens.drain()
        for work in without_token:
            self._ended(work)
        shaped = [work for works in self._shaped.values() for work in works]
        works = [*self._lines.drain(), *self._shaper.drain(), *without_token, *shaped]
        self._give_back([*works, *self._nothing])
        self._shaped.clear()
        self._nothing.clear()

    def _give_back(self, works: Sequence[Work]) -> None:
        by_claim: dict[tuple[UUID, int], list[UUID]] = {}
        for work in _each(works):
            lane = Delivery.Lane.LIMITED if work.is_limited else work.lane
            by_claim.setdefault((work.claim.token, lane), []).append(work.claim.delivery_id)
        for (token, lane), ids in by_claim.items():
            Delivery.objects.release(ids, token, lane)
            self._close_claim(token, len(ids))

    def _close_claim(self, token: UUID, count: int = 1) -> None:
        self._open[token] -= count
        if not self._open[token]:
            del self._open[token]

    # --- attempts ---------------------------------------------------------------------------------

    def _start(self) -> int:
        """Start what may start now. Returns how many POSTs that were."""
        count = 0
        while (work := self._lines.take()) is not None:
            count += 1
            self._started[work] = time.monotonic()
            work.started_at = clock.now()
            if self._has_data(work):
                self._send(work)
        return count

    def _set_apart(self) -> None:
        """Those that hang leave their room to others."""
        long_ago = time.monotonic() - HANGING_SECONDS
        while self._started:
            work, since = next(iter(self._started.items()))
            if since >= long_ago:
                break
            del self._started[work]
            self._lines.set_apart(work)

    def _ended(self, work: Work) -> None:
        """It is not under way any more."""
        self._started.pop(work, None)
        self._lines.ended(work)

    def _send(self, work: Work) -> None:
        """Begin the request, unless it has to wait for a token first."""
        endpoint = work.endpoint
        work.timestamp = int(time.time())
        work.security = endpoint.security
        failed: Response | None
        if not endpoint.keys:
            failed = Response(failure=Failure.UNSIGNABLE, detail="no signing secret can be read")
        elif not endpoint.security.is_readable:
            detail = "its credentials cannot be read"
            failed = Response(failure=Failure.CREDENTIALS_UNREADABLE, detail=detail)
        else:
            token = self._tokens.token_for(work, endpoint)
            if token is None:
                return
            if isinstance(token, Response):
                failed = token
            else:
                work.request = _request(work, token)
                failed = self._outbound.start(work.request, work)
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
            self._send(work)

    def _has_data(self, work: Work) -> bool:
        """Whether all data of a POST is there; else its turn comes again without what is gone."""
        if all(one.message.data is not None for one in work.all):
            return True
        try:
            left = [one for one in work.all if self._read_data(one)]
        except (db.OperationalError, db.InterfaceError):
            self._ended(work)
            self._lines.add(work)
            raise
        if len(left) == len(work.all):
            return True
        self._ended(work)
        if left:
            self._lines.add(_as_one(left))
        return False

    def _read_data(self, work: Work) -> bool:
        """Read a large event's data; False where it was deleted with its account meanwhile."""
        if work.message.data is not None:
            return True
        found = Event.objects.filter(pk=work.claim.event_id).values_list("data", flat=True)
        data = found.first()
        if data is None:
            self._close_claim(work.claim.token)
            return False
        work.message.data = bytes(data)
        return True

    def _end(self, work: Work, response: Response) -> None:
        self._ended(work)
        self._note(work, response)

    def _note(self, work: Work, response: Response) -> None:
        """Keep what came of an attempt, to be written down with others."""
        assert work.started_at is not None  # noqa: S101 - it was started
        if not self._results:
            self._result_since = time.monotonic()
        endpoint = work.endpoint
        now = clock.now()
        request = work.request
        shown = shown_headers(request.headers, secret=work.security.names) if request else {}
        sha256, kept_body = b"", b""
        if request:
            sha256 = hash_of(request.body)
            if not is_reproducible(work.shape, work.security, is_batch=work.is_batch):
                kept_body = request.body
        for one in _each([work]):
            claim = one.claim
            self._results.append(
                Result(
                    claim=claim,
                    account_id=endpoint.account_id,
                    correlation_id=one.message.correlation_id,
                    response=response,
                    step=next_step(
                        response,
                        number=claim.attempt_count - claim.attempts_before + 1,
                        now=now,
                        since=claim.since,
                        policy=endpoint.policy,
                    ),
                    started_at=work.started_at,
                    request_headers=shown,
                    request_bytes=len(request.body) if request else 0,
                    request_sha256=sha256,
                    kept_body=kept_body,
                )
            )

    def _record(self) -> None:
        results = self._results[:RECORD_ROWS]
        with self._turn_to_write() as has_turn:
            if not has_turn:
                return
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
        moved = breakers.note_results(results)
        if moved:
            self._endpoints.reload(moved)

    def _turn_to_write(self) -> AbstractContextManager[bool]:
        """The turn at SQLite's one writer. While another has it, what is under way goes on."""
        can_wait = not self._outbound.in_flight or len(self._results) >= 2 * RECORD_ROWS
        return turn_to_write(connection, waits=can_wait)

    def _record_one(self, result: Result) -> int:
        for attempt in (result, result.without_answer()):
            try:
                return record_results([attempt], worker=self._place.name)
            except (db.DataError, db.IntegrityError, ValueError):
                log.exception("result not recorded", delivery_id=str(result.claim.delivery_id))
        return 0


def _read_messages(event_ids: Collection[UUID]) -> dict[UUID, Message]:
    rows = select_by_key(
        Event,
        event_ids,
        ("id", "account", "type", "occurred_at", "correlation_id", "schema_version", "channels",
         "metadata", "headers", "traceparent", "tracestate"),
        expressions=(
            "length(data)",
            f"CASE WHEN length(data) <= {SMALL_DATA_BYTES} THEN data END",
        ),
    )  # fmt: skip
    return {
        key: Message(
            key,
            account_id,
            type_,
            occurred_at,
            correlation_id,
            None if data is None else bytes(data),
            data_bytes,
            *rest,
        )
        for key, account_id, type_, occurred_at, correlation_id, *rest, data_bytes, data in rows
    }


def _steps_down(
    endpoint: Endpoint, message: Message, downgrades: Mapping[tuple[UUID, str], Downgrades]
) -> tuple[str, ...] | None:
    """What brings the event's data to the major version that the subscription stays with.

    None where there is no way to it.
    """
    pinned = endpoint.schema_versions.get(message.type)
    if pinned is None or not message.schema_version:
        return ()
    major = int(message.schema_version.partition(".")[0])
    known = downgrades.get((endpoint.account_id, message.type), {})
    steps = steps_down(known, major=major, to=pinned)
    return None if steps is None else tuple(steps)


def _as_one(works: Sequence[Work]) -> Work:
    """Several as one POST; also a single one, so that the body of a batch is always a list."""
    first, *others = works
    first.batched = others
    first.is_batch = True
    return first


def _each(works: Iterable[Work]) -> Iterator[Work]:
    return (one for work in works for one in work.all)


def _request(work: Work, token: str) -> Request:
    messages = [one.message for one in work.all]
    return post_of(
        work.endpoint,
        messages,
        shape=work.shape,
        is_batch=work.is_batch,
        message_id=batch_id_of([message.event_id for message in messages])
        if work.is_batch
        else messages[0].webhook_id,
        timestamp=work.timestamp,
        replay_id=work.claim.replay_id,
        token=token,
    )
