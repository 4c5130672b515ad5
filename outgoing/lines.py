"""Whose turn it is: claimed deliveries in memory, taken fairly. Pure: no clock and no network.

- Subscriptions take turns, and each has at most its own number of attempts under way.
- The last quarter of the capacity is kept for subscriptions that have nothing under way, so a few
  that hang cannot take it all.
- Attempts that are not a first one use at most half of the capacity, and of a subscription that
  has both, three first ones go before one of those.
- What has been under way for long counts no more, up to twice the capacity; but subscriptions that
  have such use at most a quarter of the capacity for others, however many of them hang.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Final
from uuid import UUID

from outgoing.endpoints import Endpoint
from outgoing.models import Delivery
from outgoing.payload import PLAIN, Message, Shape
from outgoing.querysets import Claim
from outgoing.security import ORDINARY, Security
from webhooks_project.lib.outbound import Request

FIRSTS_BEFORE_AGAIN: Final = 3
FIRST: Final = Delivery.Lane.FIRST.value
AGAIN: Final = Delivery.Lane.AGAIN.value
FIRST_TRIGGER: Final = Delivery.Trigger.FIRST.value
APART_TIMES: Final = 2
HORIZON_SECONDS: Final = 1.0  # how late something behind the horizon may be found
MARKS: Final = 8  # sets of full subscriptions that a horizon is known of
COMMIT_SECONDS: Final = 0.25  # how late most commits are after the moment that their rows are due


@dataclass(slots=True, eq=False)
class Line:
    """What waits for one subscription. `cap`: how many attempts it may have under way."""

    cap: int
    first: deque[Work] = field(default_factory=deque)
    again: deque[Work] = field(default_factory=deque)
    in_flight: int = 0
    apart: int = 0  # of those under way, so many for long
    firsts_in_a_row: int = 0
    has_turn: bool = False

    @property
    def waiting(self) -> int:
        return len(self.first) + len(self.again)


@dataclass(slots=True, eq=False)
class Work:
    """A claim with what is needed to send it, and, once it is sent, since when."""

    claim: Claim
    lane: int
    message: Message
    endpoint: Endpoint
    shape: Shape = PLAIN
    is_limited: bool = False
    is_batch: bool = False
    batched: Sequence[Work] = ()  # others that go out in the same POST
    started_at: datetime | None = None
    timestamp: int = 0
    request: Request | None = None
    security: Security = ORDINARY
    line: Line | None = None
    is_under_way: bool = False
    is_apart: bool = False

    @property
    def all(self) -> Sequence[Work]:
        """Itself and those batched with it, in order."""
        return (self, *self.batched)


def lane_of(trigger: str) -> int:
    """In which lane an attempt of that trigger stands."""
    return FIRST if trigger == FIRST_TRIGGER else AGAIN


class UnderWay:
    """Since when what is under way is, in seconds of one clock; the first one first."""

    def __init__(self) -> None:
        self._since: dict[Work, float] = {}

    def start(self, work: Work, now: float) -> None:
        """It is under way from now on."""
        self._since[work] = now

    def end(self, work: Work) -> None:
        """It is not any more."""
        self._since.pop(work, None)

    def take_older(self, moment: float) -> list[Work]:
        """Those under way since before a moment, each once."""
        older = list(takewhile(lambda work: self._since[work] < moment, self._since))
        for work in older:
            del self._since[work]
        return older


def each(works: Iterable[Work]) -> Iterator[Work]:
    """Every one of these, also those batched with another."""
    return (one for work in works for one in work.all)


class Horizon:
    """How far into a lane there is nothing but what is not to be claimed.

    A backlog of subscriptions that are full stands before everything newer, and each claim would
    have to pass it again. What comes to stand behind the horizon is found a second late at most.
    """

    def __init__(self) -> None:
        # Of the subscriptions that were passed: from where on there are others, and until when
        # that is believed.
        self._marks: dict[frozenset[UUID], tuple[datetime, float]] = {}
        self._ends_at = 0.0  # of the mark that the claim to come starts from

    def since(self, full: Collection[UUID], now: float) -> datetime | None:
        """From where on to claim with these left out; None for from the start."""
        self._marks = {passed: mark for passed, mark in self._marks.items() if now < mark[1]}
        known = [mark for passed, mark in self._marks.items() if passed.issubset(full)]
        since, self._ends_at = max(known, default=(None, now + HORIZON_SECONDS))
        return since

    def note(self, full: Collection[UUID], *, first: datetime | None, at: datetime) -> None:
        """What the claim at `at`, for which `since` was asked, found first; None for nothing."""
        if full:
            since = min(first or at, at) - timedelta(seconds=COMMIT_SECONDS)
            self._marks[frozenset(full)] = (since, self._ends_at)
            if len(self._marks) > MARKS:
                del self._marks[next(iter(self._marks))]


class Lines:
    """The waiting work of one pump, a POST each.

    `cap` tells how many a subscription may have under way; `may_start` is asked right before one
    starts.
    """

    def __init__(
        self,
        *,
        capacity: int,
        cap: Callable[[UUID], int],
        may_start: Callable[[Work], bool] = lambda _: True,
    ) -> None:
        self._may_start = may_start
        self._capacity = capacity
        self._cap = cap
        self._lines: dict[UUID, Line] = {}
        self._turns: deque[Line] = deque()
        self._in_flight = 0
        self._again_in_flight = 0
        self._apart = 0
        self._hanging_in_flight = 0  # of subscriptions that have some apart

    @property
    def ready(self) -> int:
        """How many subscriptions have something to start."""
        return len(self._turns)

    @property
    def startable(self) -> int:
        """How much of what waits could be started now, within every limit."""
        again_room = self._again_room
        first = again = newcomers = newcomers_again = 0
        for line in self._lines.values():
            own = line.cap - line.in_flight
            if own <= 0 or self._hangs(line):
                continue
            first += min(len(line.first), own)
            again += min(len(line.again), own)
            if not line.in_flight:
                newcomers += bool(line.first)
                newcomers_again += not line.first and bool(line.again)
        newcomers += min(newcomers_again, again_room)
        return min(first + min(again, again_room), newcomers + max(0, self._shared_room))

    def wants(self, lane: int) -> bool:
        """Whether there is room for more of a lane than waits: what waits and may not be started
        now must not keep others from being claimed."""
        if self.startable >= self._capacity - self._in_flight:
            return False
        return lane == FIRST or self._again_room > sum(
            min(len(line.again), max(0, line.cap - line.in_flight)) for line in self._lines.values()
        )

    def add(self, work: Work) -> None:
        """Put claimed work at the end of its subscription's line."""
        subscription_id = work.claim.subscription_id
        cap = self._cap(subscription_id)
        line = self._lines.get(subscription_id)
        if line is None:
            line = self._lines[subscription_id] = Line(cap)
        line.cap = cap
        work.line = line
        (line.first if work.lane == FIRST else line.again).append(work)
        self._give_turn(line)

    def take(self) -> Work | None:
        """The next work to start now, or None. Counts as under way until `ended`."""
        if self._in_flight >= self._capacity:
            return None
        for _ in range(len(self._turns)):
            line = self._turns.popleft()
            line.has_turn = False
            work = self._take_from(line)
            if work is not None:
                work.is_under_way = True
                line.in_flight += 1
                self._in_flight += 1
                self._hanging_in_flight += line.apart > 0
                self._again_in_flight += work.lane != FIRST
            self._give_turn(line)
            if work is not None:
                return work
        return None

    def ended(self, work: Work) -> None:
        """The work is no longer under way."""
        line = work.line
        if line is None:
            raise ValueError("the work never stood in a line")
        work.is_under_way = False
        line.in_flight -= 1
        if work.is_apart:
            work.is_apart = False
            self._apart -= 1
            line.apart -= 1
            if not line.apart:
                self._hanging_in_flight -= line.in_flight
        else:
            self._in_flight -= 1
            self._again_in_flight -= work.lane != FIRST
            self._hanging_in_flight -= line.apart > 0
        self._give_turn(line)
        if not line.in_flight and not line.waiting:
            self._lines.pop(work.claim.subscription_id, None)

    def set_apart(self, work: Work) -> None:
        """It has been under way for long: it takes no room of others from now on, if any is left
        for such."""
        line = work.line
        if line is None or not work.is_under_way or self._apart >= APART_TIMES * self._capacity:
            return
        if not line.apart:
            self._hanging_in_flight += line.in_flight
        work.is_apart = True
        line.apart += 1
        self._apart += 1
        self._hanging_in_flight -= 1
        self._in_flight -= 1
        self._again_in_flight -= work.lane != FIRST

    def full(self) -> list[UUID]:
        """Subscriptions with as much waiting as they may start: claim no more of them."""
        no_room = self._shared_room <= 0
        return [
            key
            for key, line in self._lines.items()
            if line.waiting >= line.cap
            or (line.waiting and line.in_flight and (no_room or self._hangs(line)))
        ]

    def has_drained(self, subscription_ids: Iterable[UUID]) -> bool:
        """Whether nothing waits any more for one of these."""
        return any(not self.waiting_of(key) for key in subscription_ids)

    def waiting_of(self, subscription_id: UUID) -> int:
        """How many stand in a subscription's line."""
        line = self._lines.get(subscription_id)
        return line.waiting if line else 0

    def waiting_works(self, subscription_id: UUID) -> list[Work]:
        """What stands in a subscription's line."""
        line = self._lines[subscription_id]
        return [*line.first, *line.again]

    def in_flight_of(self, subscription_id: UUID) -> int:
        """How many of a subscription are under way."""
        line = self._lines.get(subscription_id)
        return line.in_flight if line else 0

    def waiting(self) -> list[UUID]:
        """Subscriptions with something that was not started."""
        return [key for key, line in self._lines.items() if line.waiting]

    def notice_cap(self, subscription_id: UUID) -> None:
        """Go by what the subscription may have under way by now."""
        line = self._lines[subscription_id]
        line.cap = self._cap(subscription_id)
        self._give_turn(line)

    def withdraw(self, subscription_id: UUID) -> list[Work]:
        """Take out what was not started of one subscription."""
        line = self._lines[subscription_id]
        rest = [*line.first, *line.again]
        line.first.clear()
        line.again.clear()
        if line.has_turn:
            self._turns.remove(line)
            line.has_turn = False
        if not line.in_flight:
            del self._lines[subscription_id]
        return rest

    def drain(self) -> list[Work]:
        """Take out everything that was not started."""
        rest = [work for line in self._lines.values() for work in (*line.first, *line.again)]
        for line in self._lines.values():
            line.first.clear()
            line.again.clear()
            line.has_turn = False
        self._turns.clear()
        return rest

    @property
    def _shared_room(self) -> int:
        """How many more those with something under way may start."""
        return self._capacity - self._in_flight - self._capacity // 4

    @property
    def _again_room(self) -> int:
        return max(1, self._capacity // 2) - self._again_in_flight

    def _hangs(self, line: Line) -> bool:
        """Whether it and others that hang have all of the room that such are left."""
        return line.apart > 0 and self._hanging_in_flight >= max(1, self._capacity // 4)

    def _give_turn(self, line: Line) -> None:
        if not line.has_turn and line.in_flight < line.cap and (line.first or line.again):
            line.has_turn = True
            self._turns.append(line)

    def _take_from(self, line: Line) -> Work | None:
        if line.in_flight >= line.cap or (line.in_flight and self._shared_room <= 0):
            return None
        if self._hangs(line):
            return None
        may_again = line.again and self._again_room > 0
        if line.first and not (may_again and line.firsts_in_a_row >= FIRSTS_BEFORE_AGAIN):
            queue = line.first
        elif may_again:
            queue = line.again
        else:
            return None
        if not self._may_start(queue[0]):
            return None
        line.firsts_in_a_row = line.firsts_in_a_row + 1 if queue is line.first else 0
        return queue.popleft()
