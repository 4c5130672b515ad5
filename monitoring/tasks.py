"""The monitoring queue's short task, once a minute and when somebody waits for it, and what is
done every hour."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Final

import structlog

from monitoring import conf
from monitoring.alerting import escalate_incidents
from monitoring.anchors import give_out_anchors
from monitoring.evaluating import evaluate_health
from monitoring.metrics.readings import keep_counting
from monitoring.notifications import send_due_notifications
from monitoring.readiness import queue_states
from monitoring.retention import prune_activities, prune_incidents
from monitoring.validation import validate
from outgoing.expiry import watch_expiry
from outgoing.failing import watch_failing
from outgoing.health import run_due_health_checks
from outgoing.setups import run_due_setups
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat

log = structlog.get_logger(__name__)

# Of one task; the next hour's goes on. Together less than a task may take.
VALIDATION_SECONDS: Final = 45.0
PRUNING_SECONDS: Final = 15.0  # of each kind
FORGET_AFTER: Final = timedelta(days=7)  # places of nodes that are no more


def watch() -> None:
    """Send what is due, judge health, look after the queues and the lives of subscriptions, then
    send what came of that.

    Each in turn, whatever becomes of the others. What waits is sent first as well, so that a turn
    that finds too much to end in its time still tells of what was found before.
    """
    with ExitStack() as last_first:
        for work in (
            send_due_notifications,
            escalate_incidents,
            run_due_health_checks,
            run_due_setups,
            watch_failing,
            watch_expiry,
            watch_queues,
            evaluate_health,
            keep_counting,
            send_due_notifications,
        ):
            last_first.callback(work)


def look_after() -> None:
    """Look for what is wrong with subscriptions and sources, delete old activities,
    incidents and notifications, and once a day give out the heads of the audit chains. Each in
    turn, whatever becomes of the others."""
    with ExitStack() as last_first:
        last_first.callback(validate, seconds=VALIDATION_SECONDS)
        last_first.callback(prune_incidents, seconds=PRUNING_SECONDS)
        last_first.callback(prune_activities, seconds=PRUNING_SECONDS)
        last_first.callback(give_out_anchors)


def watch_queues() -> int:
    """Say in the log which queues are behind, and forget nodes that are gone.

    Returns how many queues are behind.
    """
    now = clock.now()
    behind = 0
    for family, state in queue_states(now).items():
        if state["age_seconds"] > conf.ready_age_seconds(family):
            behind += 1
            log.warning("queue is behind", family=family, age_seconds=state["age_seconds"])
    Heartbeat.objects.filter(beat_at__lt=now - FORGET_AFTER).delete()
    return behind
