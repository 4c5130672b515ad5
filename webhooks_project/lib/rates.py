"""Limits of rate that are never exceeded, whichever moment a period is taken to begin at. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final

PARTS: Final = 60  # of a period; a start is forgotten this exactly


class RateLimit:
    """At most `limit` starts in any `period` seconds.

    Starts are counted by parts of the period, and a part counts until it is wholly out of the
    period: so the limit is never exceeded, and reached but for a sixtieth of the time.
    """

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self._part = period / PARTS
        self._counts: deque[list[int]] = deque()  # [part's number, starts], the oldest first

    def available(self, now: float) -> int:
        """How many may start now; `now` in Unix seconds."""
        self._forget(now)
        return max(0, self.limit - sum(count for _, count in self._counts))

    def note(self, now: float, count: int = 1) -> None:
        """Take starts down."""
        number = int(now / self._part)
        if self._counts and self._counts[-1][0] >= number:
            self._counts[-1][1] += count
        else:
            self._counts.append([number, count])

    def next_at(self, now: float) -> float:
        """When one may start: `now`, or later."""
        if self.available(now) or not self._counts:
            return now
        return (self._counts[0][0] + PARTS + 1) * self._part

    def state(self) -> list[list[int]]:
        """What must be known of the past, for another process to go on."""
        return [list(entry) for entry in self._counts]

    def restore(self, state: list[list[int]]) -> None:
        """Go on from another's state."""
        self._counts = deque(list(entry) for entry in state)

    def _forget(self, now: float) -> None:
        oldest = int(now / self._part) - PARTS
        while self._counts and self._counts[0][0] < oldest:
            self._counts.popleft()
