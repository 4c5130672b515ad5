"""Retention of what the hub says of its own work. The audit chain is never pruned."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.conf import settings
from django.db.models import Q, QuerySet

from monitoring.models import Activity, Finding, Incident, Notification
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


def prune_incidents(*, seconds: float | None = TURN_SECONDS) -> int:
    """Delete incidents that were resolved, with their timelines, and notifications that are not to
    be sent any more: older than WEBHOOKS_INCIDENT_DAYS and WEBHOOKS_NOTIFICATION_DAYS.

    As activities are pruned. Those of an incident that is still open are kept: they say who is to
    be told of its end. Returns how many.
    """
    batches = Batches(seconds, lambda count: None)
    done = 0
    if settings.WEBHOOKS_NOTIFICATION_DAYS > 0:
        told_before = clock.now() - timedelta(days=settings.WEBHOOKS_NOTIFICATION_DAYS)

        def notifications() -> QuerySet[Notification]:
            return Notification.objects.filter(
                Q(incident=None) | Q(incident__status=Incident.Status.RESOLVED),
                created_at__lt=told_before,
                next_attempt_at=None,
            )

        done += batches.each(notifications, "created_at", delete_rows)
    if settings.WEBHOOKS_INCIDENT_DAYS > 0:
        over_before = clock.now() - timedelta(days=settings.WEBHOOKS_INCIDENT_DAYS)

        def incidents() -> QuerySet[Incident]:
            return Incident.objects.filter(
                status=Incident.Status.RESOLVED, resolved_at__lt=over_before
            )

        done += batches.each(incidents, "resolved_at", delete_rows)
    if done:
        log.info("incidents and notifications pruned", count=done)
    return done
