"""Questions asked of events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import models
from django.db.models import Q

from webhooks_project.lib.sql import (
    insert_new,
)

if TYPE_CHECKING:
    from outgoing.models import Event
else:
    Event = models.Model


class EventQuerySet(models.QuerySet["Event"]):
    def between(self, since: datetime, until: datetime) -> EventQuerySet:
        """Those created in `[since, until)`."""
        return self.filter(created_at__gte=since, created_at__lt=until)

    def insert_new(self, events: Sequence[Event]) -> set[UUID]:
        """Store those whose idempotency keys nobody has yet. Returns their ids."""
        return {row[0] for row in insert_new(events, ("id",))}

    def scheduled(self, now: datetime) -> EventQuerySet:
        """Those that wait for their time."""
        return self.filter(deliver_at__gt=now, cancelled_at=None)

    def not_scheduled(self, now: datetime) -> EventQuerySet:
        """All others."""
        return self.filter(
            Q(deliver_at=None) | Q(deliver_at__lte=now) | Q(cancelled_at__isnull=False)
        )
