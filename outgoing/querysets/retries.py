"""Questions asked of retries."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

from webhooks_project.lib.sql import (
    is_due,
)

if TYPE_CHECKING:
    from outgoing.models import Retry
else:
    Retry = models.Model


class RetryQuerySet(models.QuerySet["Retry"]):
    def due(self, now: datetime) -> RetryQuerySet:
        """Those whose time has come, the longest overdue first."""
        return self.filter(due_at__lte=now).order_by("due_at")

    def any_due(self, now: datetime) -> bool:
        """Whether there is something to release; a read, so that an idle pump takes no lock."""
        return is_due(self.model, "due_at", now)
