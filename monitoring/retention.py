"""Retention of what the hub says of its own work. The audit chain is never pruned."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import QuerySet

from monitoring.models import Activity, Finding
from webhooks_project.batches import TURN_SECONDS, Batches, delete_rows
from webhooks_project.lib import clock

log = structlog.get_logger(__name__)


def prune_activities(*, seconds: float | None = TURN_SECONDS) -> int:
    """Delete activities, and findings that were resolved, older than WEBHOOKS_ACTIVITY_DAYS.

    The oldest first, in short transactions, for `seconds` (None for as long as it takes); with 0
    days none. Returns how many.
    """
    if settings.WEBHOOKS_ACTIVITY_DAYS <= 0:
        return 0
    before = clock.now() - timedelta(days=settings.WEBHOOKS_ACTIVITY_DAYS)

    def activities() -> QuerySet[Activity]:
        return Activity.objects.filter(created_at__lt=before)

    def findings() -> QuerySet[Finding]:
        return Finding.objects.filter(resolved_at__lt=before)

    batches = Batches(seconds, lambda count: None)
    done = batches.each(activities, "created_at", delete_rows)
    done += batches.each(findings, "resolved_at", delete_rows)
    if done:
        log.info("activities pruned", count=done)
    return done
