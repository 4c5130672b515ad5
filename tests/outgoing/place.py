"""A pump's place without a heartbeat."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


class StubPlace:
    """Goes on for so many looks, or until it is told or the time is over; `each_look` runs in
    between."""

    name = "test/delivery/0"

    def __init__(
        self,
        *,
        turns: int | None = None,
        until: Callable[[], Any] | None = None,
        each_look: Callable[[], Any] | None = None,
        seconds: float = 10,
    ) -> None:
        self._turns = turns
        self._until = until
        self._each_look = each_look
        self._ends_at = time.monotonic() + seconds
        self.left = 0

    def goes_on(self) -> bool:
        if self._each_look is not None:
            self._each_look()
        if self._until is not None and self._until():
            return False
        if self._turns is not None:
            self._turns -= 1
            return self._turns >= 0
        return time.monotonic() < self._ends_at

    def leave(self, *, call_next: bool = True) -> None:
        self.left += 1
