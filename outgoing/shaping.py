"""Data that has to be computed before it is sent: transformations, and older schema versions.

Expressions are strangers' and may take their whole quarter of a second, so a thread beside the
pump evaluates them. Subscriptions take turns by the time that they have used: a slow expression
delays its own subscription's deliveries and hardly any other's.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import orjson
import structlog

from outgoing.lines import Work
from outgoing.payload import Message
from webhooks_project.lib.errors import DomainError
from webhooks_project.lib.jsonata import NOTHING, evaluate_many

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 64  # of one subscription; it is claimed no more of then
TURN_SECONDS: Final = 0.05  # what a turn of one subscription should take
MAX_AT_ONCE: Final = 32


@dataclass(frozen=True, slots=True)
class Shaped:
    """Work whose data was computed. `failure` says why it could not be; empty where it was.

    `is_nothing`: the expression gives nothing for it, so nothing is to be sent.
    """

    work: Work
    failure: str = ""
    is_nothing: bool = False


@dataclass(slots=True, eq=False)
class _Turns:
    """What waits of one subscription, and how long its expressions took so far, in seconds."""

    works: deque[Work] = field(default_factory=deque)
    used: float = 0.0
    seconds_each: float = 0.0


class Shaper:
    """Computes the data of claimed work. Used from the pump's thread; its own does the rest."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._turns: dict[UUID, _Turns] = {}
        self._done: queue.SimpleQueue[Shaped] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False
        # Submitted, and neither collected nor drained; and how many those are by subscription.
        self._works: dict[Work, None] = {}
        self._pending: dict[UUID, int] = {}

    @property
    def pending(self) -> int:
        """How many were submitted and neither collected nor drained."""
        return len(self._works)

    def pending_of(self, subscription_id: UUID) -> int:
        """How many of a subscription were submitted and neither collected nor drained."""
        return self._pending.get(subscription_id, 0)

    def submit(self, works: Collection[Work]) -> None:
        """Compute what these need; the data of their messages must have been read.

        The thread that computes is there from the first of them on: it takes time from the pump's.
        """
        if not works:
            return
        with self._lock:
            for work in works:
                key = work.claim.subscription_id
                turns = self._turns.get(key)
                if turns is None:
                    # It starts level with those there are: neither ahead nor behind.
                    least = min((other.used for other in self._turns.values()), default=0.0)
                    turns = self._turns[key] = _Turns(used=least)
                turns.works.append(work)
                self._works[work] = None
                self._pending[key] = self._pending.get(key, 0) + 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shaper", daemon=True)
                self._thread.start()
            self._lock.notify()

    def collect(self) -> list[Shaped]:
        """What was computed since the last time."""
        found: list[Shaped] = []
        while True:
            try:
                shaped = self._done.get_nowait()
            except queue.Empty:
                return found
            if shaped.work in self._works:
                self._forget(shaped.work)
                found.append(shaped)

    def full(self) -> list[UUID]:
        """Subscriptions with so much waiting that no more should be claimed."""
        return [key for key, count in self._pending.items() if count >= MAX_WAITING]

    def drain(self) -> list[Work]:
        """Take out all that was not collected; what comes of it yet is thrown away."""
        with self._lock:
            self._turns.clear()
        rest = list(self._works)
        self._works.clear()
        self._pending.clear()
        return rest

    def close(self) -> None:
        """End the thread, after what it is at."""
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()

    def _forget(self, work: Work) -> None:
        del self._works[work]
        key = work.claim.subscription_id
        self._pending[key] -= 1
        if not self._pending[key]:
            del self._pending[key]

    def _run(self) -> None:
        while True:
            with self._lock:
                while not self._turns and not self._closed:
                    self._lock.wait()
                if self._closed:
                    return
                key, turns = min(self._turns.items(), key=lambda item: item[1].used)
                each = turns.seconds_each or TURN_SECONDS
                count = max(1, min(MAX_AT_ONCE, int(TURN_SECONDS / each)))
                works = [turns.works.popleft() for _ in range(min(count, len(turns.works)))]
            started = time.monotonic()
            for shaped in _shape(works):
                self._done.put(shaped)
            seconds = time.monotonic() - started
            with self._lock:
                turns.used += seconds
                turns.seconds_each = seconds / len(works)
                if not turns.works and self._turns.get(key) is turns:
                    del self._turns[key]


def _shape(works: Sequence[Work]) -> list[Shaped]:
    """Evaluate each work's expressions, those of the same step together."""
    try:
        return _evaluated(works)
    except Exception as error:
        # Whatever it is, it must not keep the claims of other subscriptions from going on.
        log.exception("expressions were not evaluated")
        return [Shaped(work, failure=f"{type(error).__name__}: {error}"[:300]) for work in works]


def _evaluated(works: Sequence[Work]) -> list[Shaped]:
    outcome: dict[int, Shaped] = {}
    data = {n: work.message.data or b"null" for n, work in enumerate(works)}
    for level in range(max(len(work.shape.downgrades) for work in works)):
        todo = [
            n
            for n, work in enumerate(works)
            if n not in outcome and level < len(work.shape.downgrades)
        ]
        results = evaluate_many([(works[n].shape.downgrades[level], data[n], None) for n in todo])
        for n, result in zip(todo, results, strict=True):
            _take(result, works[n], n, data, outcome, "schema version")
    todo = [n for n, work in enumerate(works) if n not in outcome and work.shape.transformation]
    results = evaluate_many(
        [
            (
                works[n].shape.transformation,
                _document(works[n].message, data[n]),
                {"variables": dict(works[n].shape.variables)},
            )
            for n in todo
        ]
    )
    for n, result in zip(todo, results, strict=True):
        _take(result, works[n], n, data, outcome, "transformation")
    for n, work in enumerate(works):
        if n not in outcome:
            work.message.shaped[work.shape] = data[n]
            outcome[n] = Shaped(work)
    return [outcome[n] for n in range(len(works))]


def _take(
    result: object,
    work: Work,
    n: int,
    data: dict[int, bytes],
    outcome: dict[int, Shaped],
    what: str,
) -> None:
    if isinstance(result, DomainError):
        reason = getattr(result, "reason", result.code)
        outcome[n] = Shaped(work, failure=f"{what}: {reason}: {result}"[:300])
    elif result is NOTHING:
        outcome[n] = Shaped(work, is_nothing=True)
    else:
        data[n] = orjson.dumps(result)


def _document(message: Message, data: bytes) -> bytes:
    """The event as a transformation sees it, with the data's own bytes in it."""
    return b'%b,"data":%b}' % (orjson.dumps(message.facts())[:-1], data)
