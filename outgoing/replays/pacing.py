"""How much a job may have in line: no more than live traffic leaves, and each subscription takes.

A subscription that takes less than the job has for it lags behind with a cursor of its own, and the
rest of the job goes on without it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from datetime import datetime, timedelta
from statistics import median
from typing import Final
from uuid import UUID

from django.db.models import Count

from outgoing.endpoints import PERIODS
from outgoing.models import Attempt, Delivery, Replay
from subscriptions.models import Subscription

BATCH_ROWS: Final = 200  # put in line in one transaction
# A job begins with so few, and with as many again as it has had: what live traffic makes of them is
# seen before there are more.
FIRST_ROWS: Final = 20
MAX_WAITING: Final = 200  # while so many of a job's deliveries are in line, it adds none
MAX_LAGGING: Final = 20  # subscriptions of one job; where more do, the job waits for them
# A subscription with a rate has no more of a job in line than it takes in this time: what is live
# comes behind it.
AHEAD_SECONDS: Final = 5
LOOK_SECONDS: Final = 0.25  # between two rounds
BEHIND_LOOK_SECONDS: Final = 2.0  # while live traffic is behind
# Live traffic is behind when the first attempts of the last seconds waited longer than this at the
# median: one endpoint that hangs does not make it so. Jobs then get this part of the throughput.
BEHIND_SECONDS: Final = 0.25
RECENT_SECONDS: Final = 5
RECENT_ROWS: Final = 400
PART_WHILE_BEHIND: Final = 0.01


def live_limit(now: datetime) -> int | None:
    """How many deliveries all jobs may put in line in a round; None where live traffic is not
    behind, so that nothing but what waits already holds them back."""
    recent = list(
        Attempt.objects.filter(started_at__gte=now - timedelta(seconds=RECENT_SECONDS))
        .order_by("-started_at")
        .values_list("trigger", "queue_wait_ms", "started_at")[:RECENT_ROWS]
    )
    waits = [wait for trigger, wait, _ in recent if trigger == Delivery.Trigger.FIRST]
    if not waits or median(waits) <= BEHIND_SECONDS * 1000:
        return None
    span = (now - recent[-1][2]).total_seconds()
    if len(recent) < RECENT_ROWS:  # a few say nothing of a moment
        span = max(span, LOOK_SECONDS)
    return max(1, int(len(recent) / max(span, 0.001) * BEHIND_LOOK_SECONDS * PART_WHILE_BEHIND))


def most_of(replay: Replay, limit: int | None) -> int:
    """How many of a job a round puts in line, where there is room for them."""
    most = min(BATCH_ROWS, max(FIRST_ROWS, replay.redelivered_count))
    return most if limit is None else min(limit, most)


class Lines:
    """What of a job waits in line, by subscription, and how much more of each may."""

    def __init__(self, replay: Replay) -> None:
        waiting = Delivery.objects.filter(replay=replay.pk, lane__isnull=False).order_by()
        counts = waiting.values_list("subscription").annotate(count=Count("pk"))
        self._waiting: Counter[UUID] = Counter(dict(counts))
        self._shares: dict[UUID, int] = {}
        self._only = replay.subscription_id

    @property
    def are_one(self) -> bool:
        """Whether all of the job is of one subscription, so that none of it lags behind."""
        return self._only is not None

    def know(self, subscription_ids: Collection[UUID]) -> None:
        """Look up how much each of these may have in line."""
        unknown = set(subscription_ids) - set(self._shares)
        rows = Subscription.objects.filter(pk__in=unknown)
        for row in rows.only("rate_limit", "rate_period", "batch_size"):
            self._shares[row.pk] = share_of(row)

    def room(self, without: Collection[UUID]) -> int:
        """For how many there is room in line, besides those of the subscriptions that lag."""
        room = MAX_WAITING - sum(
            count for key, count in self._waiting.items() if key not in without
        )
        return room if self._only is None else min(room, self.room_of(self._only))

    def room_of(self, subscription_id: UUID) -> int:
        """For how many of one subscription there is."""
        self.know([subscription_id])
        return self._shares.get(subscription_id, MAX_WAITING) - self._waiting[subscription_id]

    def has_room(self, subscription_id: UUID) -> bool:
        """Whether it takes one more, without more than half the line being its own."""
        if self.are_one:
            return True
        half = max(1, MAX_WAITING // 2) - self._waiting[subscription_id]
        return min(half, self.room_of(subscription_id)) > 0

    def is_low(self, subscription_id: UUID) -> bool:
        """Whether of one that lags so little is in line that it is time to look for more."""
        return self.room_of(subscription_id) * 2 >= self._shares.get(subscription_id, MAX_WAITING)

    def add(self, subscription_id: UUID) -> None:
        """Count one that is put in line now."""
        self._waiting[subscription_id] += 1


def share_of(subscription: Subscription) -> int:
    """How many of one job's deliveries may be in line for it."""
    if subscription.rate_limit is None:
        return MAX_WAITING
    each_second = subscription.rate_limit / PERIODS[subscription.rate_period]
    soon = math.ceil(each_second * AHEAD_SECONDS * subscription.batch_size)
    return max(subscription.batch_size, min(MAX_WAITING, soon))
