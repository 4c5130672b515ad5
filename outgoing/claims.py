"""What one pump has claimed and not ended, and how what is not sent goes back."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from outgoing.cancelled import note_all_cancelled
from outgoing.lines import Work, each
from outgoing.messages import read_data
from outgoing.models import Delivery
from outgoing.querysets import LANES, LEASE_SECONDS, Claim
from subscriptions.models import Subscription
from webhooks_project.lib import clock

ARCHIVED: Final = Subscription.Status.ARCHIVED.value
AHEAD_ROWS: Final = 2_000  # of a lane, in which those with limits are looked for
NOTHING_TO_SEND: Final = "nothing_to_send"  # why a delivery was cancelled: its transformation


class Way(Enum):
    """How what was claimed and is not sent leaves the pump."""

    BACK = "back"
    HELD = "held"
    CANCELLED = "cancelled"
    NOTHING = "nothing"


class Claims:
    """The open claims of a pump, by their token. True while there are any."""

    def __init__(self) -> None:
        self._open: dict[UUID, int] = {}
        self._leased_at: dict[UUID, float] = {}  # the same claims, by the monotonic clock
        self._leaving: dict[Work, Way] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def sure_until(self) -> float:
        """Until when no lease has run out, by the monotonic clock; what waits may be another's
        then."""
        return min(self._leased_at.values(), default=math.inf) + LEASE_SECONDS

    def add(self, claims: Sequence[Claim], began: float) -> None:
        """Those of one call, which share a token; their lease lasts from when that began."""
        token = claims[0].token
        self._open[token], self._leased_at[token] = len(claims), began

    def forget(self, claims: Sequence[Claim]) -> None:
        """Not renewed any more, they are due again when their lease ends."""
        self._end(claims[0].token)

    def is_ours(self, token: UUID) -> bool:
        """Whether something of that claim has not ended."""
        return token in self._open

    def close(self, token: UUID, count: int = 1) -> None:
        """So many of a claim have ended; it may have been forgotten meanwhile."""
        left = self._open.get(token, 0) - count
        if left > 0:
            self._open[token] = left
        else:
            self._end(token)

    def _end(self, token: UUID) -> None:
        self._open.pop(token, None)
        self._leased_at.pop(token, None)

    def read_data(self, work: Work) -> bool:
        """Read a large event's data; False where it was deleted with its account meanwhile."""
        if work.message.data is not None:
            return True
        data = read_data(work.claim.event_id)
        if data is None:
            self.close(work.claim.token)
            return False
        work.message.data = data
        return True

    def renew(self, *, older_than: float) -> None:
        """Have those leases last from now on that began so many seconds ago."""
        now = time.monotonic()
        tokens = [token for token, at in self._leased_at.items() if now - at >= older_than]
        if tokens:
            Delivery.objects.renew_leases(tokens, clock.now())
            self._leased_at.update(dict.fromkeys(tokens, now))

    # --- what is not sent ---

    @property
    def are_leaving(self) -> bool:
        """Whether something is to be written yet of what is not sent."""
        return bool(self._leaving)

    def give_back(self, works: Iterable[Work]) -> None:
        """Put what was not started in its lane again, for any pump."""
        self._leave(dict.fromkeys(each(works), Way.BACK))

    def give_over(self, works: Sequence[Work]) -> None:
        """The same for what is to go by its subscription's limits, by which it was not claimed, or
        was though there are none any more. What stands behind it in the lanes goes over with it.
        """
        entering: dict[int, set[UUID]] = {lane: set() for lane in LANES}
        for work in each(works):
            if work.endpoint.is_limited and not work.is_limited:
                entering[work.lane].add(work.claim.subscription_id)
            work.is_limited = work.endpoint.is_limited
        self.give_back(works)
        for lane, limited in entering.items():
            if limited:
                Delivery.objects.enter_flows(lane, limited, among=AHEAD_ROWS)

    def put_aside(self, works: Iterable[Work]) -> None:
        """What was claimed for a subscription that is not active: held, or cancelled for good."""
        self._leave(
            {
                work: Way.CANCELLED if work.endpoint.status == ARCHIVED else Way.HELD
                for work in each(works)
            }
        )

    def cancel_nothing(self, works: Iterable[Work]) -> None:
        """End deliveries whose transformation gives nothing to send."""
        self._leave(dict.fromkeys(each(works), Way.NOTHING))

    def _leave(self, leaving: Mapping[Work, Way]) -> None:
        if leaving:
            self._leaving.update(leaving)
            self.settle()

    def settle(self) -> None:
        """Write what is not sent. What the database fails at is kept, for the next time."""
        groups: dict[tuple[UUID, Way, int], list[Work]] = {}
        for work, way in self._leaving.items():
            lane = Delivery.Lane.LIMITED.value if work.is_limited else work.lane
            groups.setdefault((work.claim.token, way, lane), []).append(work)
        for (token, way, lane), works in groups.items():
            ids = [work.claim.delivery_id for work in works]
            if way == Way.BACK:
                Delivery.objects.release(ids, token, lane)
            elif way == Way.HELD:
                Delivery.objects.all().finish(ids, token, {"status": Delivery.Status.HELD})
            else:
                _cancel(works, token, NOTHING_TO_SEND if way == Way.NOTHING else "")
            for work in works:
                del self._leaving[work]
            self.close(token, len(works))


def _cancel(works: Sequence[Work], token: UUID, cause: str) -> None:
    values: dict[str, Any] = {"status": Delivery.Status.CANCELLED}
    if cause:
        values["last_cause"] = cause
    ids = [work.claim.delivery_id for work in works]
    ordered = [work.claim.delivery_id for work in works if work.claim.order_key is not None]
    with transaction.atomic():
        note_all_cancelled(Delivery.objects.all().finish(ids, token, values))
        if ordered and cause:  # whoever is archived gets none of the others either
            Delivery.objects.unpark_after(ordered)
