"""Questions asked of events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q

from webhooks_project.accounts.known_keys import StaleGeneration, still
from webhooks_project.accounts.models import NO_GENERATIONS, Generations
from webhooks_project.lib.sql import insert_new_with

if TYPE_CHECKING:
    from outgoing.models import Delivery, Event
else:
    Delivery = Event = models.Model


class EventQuerySet(models.QuerySet["Event"]):
    def between(self, since: datetime, until: datetime) -> EventQuerySet:
        """Those created in `[since, until)`."""
        return self.filter(created_at__gte=since, created_at__lt=until)

    def insert_new(
        self,
        events: Sequence[Event],
        deliveries: Sequence[Delivery],
        *,
        generations: Generations = NO_GENERATIONS,
    ) -> set[UUID]:
        """Store those whose idempotency keys nobody has yet, with their deliveries: all of it or
        nothing. Returns the events' ids.

        The database decides who is first, so that two callers at the same moment cannot both be. A
        batch may repeat a key within itself: the first of them is the one that counts. Raises
        StaleGeneration where an account has another generation than the one that is given.
        """
        condition = still(generations) if generations else None
        stored = insert_new_with(events, deliveries, by="event_id", condition=condition)
        if stored is None:
            raise StaleGeneration
        return stored

    def scheduled(self, now: datetime) -> EventQuerySet:
        """Those that wait for their time."""
        return self.filter(deliver_at__gt=now, cancelled_at=None)

    def not_scheduled(self, now: datetime) -> EventQuerySet:
        """All others."""
        return self.filter(
            Q(deliver_at=None) | Q(deliver_at__lte=now) | Q(cancelled_at__isnull=False)
        )
