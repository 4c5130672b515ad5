"""What came of attempts, kept until many are written down together."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final
from uuid import UUID

import structlog
from django import db
from django.db import connection

from outgoing import breakers
from outgoing.bodies import hash_of, is_reproducible
from outgoing.claims import Claims
from outgoing.judge import next_step
from outgoing.lines import Work, each
from outgoing.payload import shown_headers
from outgoing.record import Result, record_results
from webhooks_project.lib import clock
from webhooks_project.lib.outbound import Response
from webhooks_project.lib.turns import Turns

log = structlog.get_logger(__name__)

RECORD_ROWS: Final = 400  # written together at most
RECORD_SECONDS: Final = 0.1  # and this late at most


class Results:
    """The results of one pump that are not written down yet. `worker` is kept with each."""

    def __init__(self, claims: Claims, worker: str) -> None:
        self._claims = claims
        self._worker = worker
        self._results: list[Result] = []
        self._since = 0.0
        self._turns = Turns()
        self.recorded = 0

    def __len__(self) -> int:
        return len(self._results)

    @property
    def are_many(self) -> bool:
        """Whether so many wait that they must be written before more come."""
        return len(self._results) >= 2 * RECORD_ROWS

    def are_due(self, *, is_idle: bool) -> bool:
        """Whether to write now; a pump with nothing else to do writes at once."""
        if not self._results:
            return False
        late = time.monotonic() - self._since >= RECORD_SECONDS
        return late or is_idle or len(self._results) >= RECORD_ROWS

    def note(self, work: Work, response: Response) -> None:
        """Keep what came of an attempt."""
        assert work.started_at is not None  # noqa: S101 - it was started
        if not self._results:
            self._since = time.monotonic()
        endpoint = work.endpoint
        now = clock.now()
        request = work.request
        shown = shown_headers(request.headers, secret=work.security.names) if request else {}
        sha256, kept_body = b"", b""
        if request:
            sha256 = hash_of(request.body)
            if not is_reproducible(work.shape, work.security, is_batch=work.is_batch):
                kept_body = request.body
        for one in each([work]):
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

    def record(self, *, waits: bool) -> Collection[UUID]:
        """Write the first of them down, unless another process writes and this does not wait.

        Returns the subscriptions whose breakers have moved by it.
        """
        results = self._results[:RECORD_ROWS]
        with self._turns.take(connection, waits=waits or self.are_many) as has_turn:
            if not has_turn:
                return ()
            try:
                stored = record_results(results, worker=self._worker)
            except (db.DataError, db.IntegrityError, ValueError):
                # What a receiver sent must not keep the others' results from being written down.
                log.exception("results are recorded one by one", count=len(results))
                stored = sum(self._record_one(result) for result in results)
        del self._results[: len(results)]
        for result in results:
            self._claims.close(result.claim.token)
        self.recorded += stored
        if stored < len(results):
            log.warning("results of lost claims dropped", count=len(results) - stored)
        return breakers.note_results(results)

    def _record_one(self, result: Result) -> int:
        for attempt in (result, result.without_answer()):
            try:
                return record_results([attempt], worker=self._worker)
            except (db.DataError, db.IntegrityError, ValueError):
                log.exception("result not recorded", delivery_id=str(result.claim.delivery_id))
        return 0
