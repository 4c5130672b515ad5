"""Attempts and what they sent, stored."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import models

from webhooks_project.lib.sql import (
    insert_new,
    insert_rows,
)

if TYPE_CHECKING:
    from outgoing.models import Attempt, SentBody
else:
    Attempt = SentBody = models.Model


class AttemptQuerySet(models.QuerySet["Attempt"]):
    def insert_many(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Append attempts in bulk."""
        insert_rows(self.model, columns, rows)


class SentBodyQuerySet(models.QuerySet["SentBody"]):
    def insert_new(self, bodies: Sequence[SentBody]) -> None:
        """Store those that their deliveries do not have yet."""
        insert_new(bodies, ("id",))

    def of_events(self, event_ids: Collection[UUID]) -> SentBodyQuerySet:
        """Those that hold these events' data, also as a part of a batch."""
        # The table of attempts is of another class only here, where models are not loaded yet.
        attempts = self.model._meta.apps.get_model("outgoing", "Attempt")._default_manager
        sent = attempts.filter(delivery__event__in=list(event_ids)).exclude(request_sha256=b"")
        return self.filter(
            account__in=sent.values("delivery__account"), sha256__in=sent.values("request_sha256")
        )
