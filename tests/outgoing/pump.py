"""A delivery pump that runs inside a test, for as long as the test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db.models import Q

from outgoing.deliver import DeliveryPump
from outgoing.models import Delivery

LONGEST_SECONDS = 30


def is_settled() -> bool:
    """Whether nothing is to be claimed and nothing is under way."""
    waiting = Q(lane__isnull=False) | Q(status=Delivery.Status.DELIVERING)
    return not Delivery.objects.filter(waiting).exists()


def nothing() -> None:
    pass


@dataclass
class Turn:
    """A pump's place. The turn ends when `until` says so, after one pass at least.

    `steps` are called one after the other before the second, third … pass, each once the one
    before it gave True or None.
    """

    until: Callable[[], bool] = is_settled
    steps: list[Callable[[], bool | None]] = field(default_factory=list)
    on_leaving: Callable[[], None] = nothing
    passes: int = 0
    left: int = 0
    name: str = "here/delivery/0"
    ends_at: float = field(default_factory=lambda: time.monotonic() + LONGEST_SECONDS)

    def goes_on(self) -> bool:
        assert time.monotonic() < self.ends_at, "the pump did not come to its end"
        self.passes += 1
        if self.passes == 1:
            return True
        if self.steps:
            if self.steps[0]() is not False:
                self.steps.pop(0)
            return True
        return not self.until()

    def leave(self, *, call_next: bool = True) -> None:
        self.left += 1
        self.on_leaving()


def deliver(turn: Turn | None = None) -> int:
    """Run a pump to the end of its turn. Returns how many attempts it recorded."""
    return DeliveryPump(turn or Turn()).run()
