"""The monitoring queue's short task, once a minute and when somebody waits for it, and what is
done every hour."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from outgoing.health import ROUND_SECONDS as CHECK_SECONDS
from outgoing.health import run_due_health_checks
from outgoing.setups import ROUND_SECONDS as SETUP_SECONDS
from outgoing.setups import run_due_setups
from webhooks_project.beats import note_sign_of_life
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat

log = structlog.get_logger(__name__)

# Of one task, each time that it has a turn; the next minute's goes on.
SENDING_SECONDS: Final = 25.0
MESSAGE_SECONDS: Final = 25.0  # that one message may take
JUDGING_SECONDS: Final = 40.0
JUDGED_SECONDS: Final = 75.0  # by then all is judged and told, and the rest is the endpoints'
CHECKING_SECONDS: Final = 20.0

# Of one task; the next hour's goes on. Together less than a task may take.
VALIDATION_SECONDS: Final = 45.0
PRUNING_SECONDS: Final = 15.0  # of each kind
FORGET_AFTER: Final = timedelta(days=7)  # places of nodes that are no more


def watch() -> None:
    """Send what is due, judge health, look after the queues and the lives of subscriptions, send
    what came of that; then look at endpoints.

    Each in turn, whatever becomes of the others. What waits is sent first as well, so that a turn
    that finds too much to end in its time still tells of what was found before. The endpoints come
    last, with the time that is left: those that hang hold up neither what is judged and told nor
    the sign of life, and what is found of them is judged a minute later.
    """
    begun_at = time.monotonic()
    judged_by, ends_at = begun_at + JUDGED_SECONDS, begun_at + conf.watch_seconds()

    def send() -> None:
        do_for(send_due_notifications, SENDING_SECONDS, ends_at=judged_by, takes=MESSAGE_SECONDS)

    with ExitStack() as last_first:
        for work in (
            lambda: do_for(
                run_due_health_checks, CHECKING_SECONDS, ends_at=ends_at, takes=CHECK_SECONDS
            ),
            lambda: do_for(run_due_setups, CHECKING_SECONDS, ends_at=ends_at, takes=SETUP_SECONDS),
            lambda: note_sign_of_life("monitoring"),
            send,
            escalate_incidents,
            watch_failing,
            watch_expiry,
            watch_queues,
            lambda: do_for(evaluate_health, JUDGING_SECONDS, ends_at=judged_by),
            keep_counting,
            send,
        ):
            last_first.callback(work)


def do_for(
    work: Callable[[Callable[[], bool]], object],
    seconds: float,
    *,
    ends_at: float,
    takes: float = 0.0,
) -> None:
    """Give the work a turn of so many seconds, which is over before `ends_at` (by the monotonic
    clock): no step of it is begun, of those that may take `takes`, that might not end by then."""
    until = min(time.monotonic() + seconds, ends_at - takes)
    work(lambda: time.monotonic() <= until)


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
