"""Whose turn it is: claimed deliveries in memory, taken fairly. Pure: no clock and no network.

- Subscriptions take turns, and each has at most its own number of attempts under way.
- The last quarter of the capacity is kept for subscriptions that have nothing under way, so a few
  that hang cannot take it all.
- Attempts that are not a first one use at most half of the capacity, and of a subscription that
  has both, three first ones go before one of those.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Final
from uuid import UUID

from outgoing.models import Delivery
from outgoing.payload import envelope
from outgoing.querysets import Claim

FIRSTS_BEFORE_AGAIN: Final = 3


@dataclass
class Message:
    """An event as the deliveries of one claim share it. `data` is None where it is large and not
    yet read."""

    type: str
    occurred_at: datetime
    correlation_id: str
    data: bytes | None

    @cached_property
    def body(self) -> bytes:
        """The bytes to send."""
        if self.data is None:
            raise ValueError("the event's data is not read yet")
        return envelope(type=self.type, occurred_at=self.occurred_at, data=self.data)


@dataclass(slots=True)
class Work:
    """A claim with what is needed to send it, and, once it is sent, since when."""

    claim: Claim
    lane: int
    message: Message
    started_at: datetime | None = None
    timestamp: int = 0


@dataclass(slots=True)
class _Line:
    first: deque[Work] = field(default_factory=deque)
    again: deque[Work] = field(default_factory=deque)
    in_flight: int = 0
    firsts_in_a_row: int = 0
    has_turn: bool = False

    def __len__(self) -> int:
        return len(self.first) + len(self.again)


class Lines:
    """The waiting work of one pump. `cap` tells how many a subscription may have under way."""

    def __init__(self, *, capacity: int, cap: Callable[[UUID], int]) -> None:
        self._capacity = capacity
        self._cap = cap
        self._lines: dict[UUID, _Line] = {}
        self._turns: deque[UUID] = deque()
        self._in_flight = 0
        self._again_in_flight = 0

    @property
    def ready(self) -> int:
        """How many subscriptions have something to start."""
        return len(self._turns)

    @property
    def startable(self) -> int:
        """How much could be started now, were there no limit but each subscription's own."""
        return sum(
            min(len(line), self._cap(key) - line.in_flight) for key, line in self._lines.items()
        )

    def add(self, work: Work) -> None:
        """Put claimed work at the end of its subscription's line."""
        line = self._lines.setdefault(work.claim.subscription_id, _Line())
        (line.first if work.lane == Delivery.Lane.FIRST else line.again).append(work)
        self._give_turn(work.claim.subscription_id, line)

    def take(self) -> Work | None:
        """The next work to start now, or None. Counts as under way until `ended`."""
        if self._in_flight >= self._capacity:
            return None
        for _ in range(len(self._turns)):
            subscription_id = self._turns.popleft()
            line = self._lines[subscription_id]
            line.has_turn = False
            work = self._take_from(line)
            self._give_turn(subscription_id, line)
            if work is not None:
                line.in_flight += 1
                self._in_flight += 1
                self._again_in_flight += work.lane == Delivery.Lane.AGAIN
                return work
        return None

    def ended(self, work: Work) -> None:
        """The work is no longer under way."""
        line = self._lines[work.claim.subscription_id]
        line.in_flight -= 1
        self._in_flight -= 1
        self._again_in_flight -= work.lane == Delivery.Lane.AGAIN
        self._give_turn(work.claim.subscription_id, line)
        if not line and not line.in_flight:
            del self._lines[work.claim.subscription_id]

    def full(self) -> list[UUID]:
        """Subscriptions with as much waiting as they may have under way: claim no more of them."""
        return [key for key, line in self._lines.items() if len(line) >= self._cap(key)]

    def drain(self) -> list[Work]:
        """Take out everything that was not started."""
        rest = [work for line in self._lines.values() for work in (*line.first, *line.again)]
        for line in self._lines.values():
            line.first.clear()
            line.again.clear()
            line.has_turn = False
        self._turns.clear()
        return rest

    def _give_turn(self, subscription_id: UUID, line: _Line) -> None:
        if len(line) and not line.has_turn and line.in_flight < self._cap(subscription_id):
            line.has_turn = True
            self._turns.append(subscription_id)

    def _take_from(self, line: _Line) -> Work | None:
        free = self._capacity - self._in_flight
        if line.in_flight and free <= self._capacity // 4:
            return None
        may_again = line.again and self._again_in_flight < max(1, self._capacity // 2)
        if line.first and not (may_again and line.firsts_in_a_row >= FIRSTS_BEFORE_AGAIN):
            line.firsts_in_a_row += 1
            return line.first.popleft()
        if may_again:
            line.firsts_in_a_row = 0
            return line.again.popleft()
        return None
