"""The monitoring queue's short task, once a minute and when there is something to tell people."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from monitoring.health import MAX_AGE_SECONDS, queue_states
from monitoring.notifications import send_due_notifications
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat

log = structlog.get_logger(__name__)

FORGET_AFTER: Final = timedelta(days=7)  # places of nodes that are no more


def watch() -> None:
    """Look after the queues, then send the notifications that are due."""
    try:
        watch_queues()
    finally:
        send_due_notifications()


def watch_queues() -> int:
    """Say in the log which queues are behind, and forget nodes that are gone.

    Returns how many queues are behind.
    """
    now = clock.now()
    behind = 0
    for family, state in queue_states(now).items():
        if state["age_seconds"] > MAX_AGE_SECONDS:
            behind += 1
            log.warning("queue is behind", family=family, age_seconds=state["age_seconds"])
    Heartbeat.objects.filter(beat_at__lt=now - FORGET_AFTER).delete()
    return behind
