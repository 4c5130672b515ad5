"""The queue families and the hints that go through them.

The tables are the truth: a hint only says "look". A lost hint costs the time until the supervisor
or the schedule sends another.
"""

from __future__ import annotations

import time
from datetime import timedelta
from functools import cache
from typing import Final

import structlog
from django.conf import settings
from django.db import DatabaseError
from django_q.brokers import Broker, get_broker
from django_q.models import Schedule
from django_q.tasks import async_task

from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat

log = structlog.get_logger(__name__)

# The long task of each family: it drains a table until its turn is over. Named, not imported:
# this package knows no app.
PUMPS: Final = {
    "processing": "incoming.tasks.process_receipts",
    "delivery": "outgoing.tasks.deliver",
    "retry": "outgoing.tasks.release_retries",
}
# Short tasks, once a minute.
PERIODIC: Final = {
    "monitoring": "monitoring.tasks.watch",
    "analytics": "analytics.tasks.roll_up",
}
# Once an hour, beside these.
HOURLY: Final = {
    "processing": "incoming.tasks.prune",
    "retry": "outgoing.tasks.prune",
    "monitoring": "monitoring.tasks.look_after",
}
# Short tasks of their own beside a family's, when they are called and once a minute.
CALLED: Final = {"subscriptions.bulk.tasks.run_bulk_jobs": "monitoring"}
SHARED_CLUSTER: Final = "hub"
WAKE_SECONDS: Final = 1.0  # a process hints at a family's pumps at most this often
ALIVE_SECONDS: Final = 3.0  # a pump that beat this recently looks by itself and needs no hint


def enabled_families() -> list[str]:
    """The families that this node serves, by their QM_WEBHOOKS_… flags."""
    return [family for family in settings.FAMILIES if settings.QM_WEBHOOKS[family]]


def cluster_of(family: str) -> str:
    """The django-q2 cluster that serves the family on this node."""
    return SHARED_CLUSTER if settings.WEBHOOKS_SHARED_CLUSTER else family


def slots_of(family: str) -> int:
    """How many pumps of the family a cluster runs at once."""
    match family:
        case "delivery":
            return int(settings.WEBHOOKS_DELIVERY_PUMPS)
        case "processing":
            return 1 + int(settings.WEBHOOKS_HANDLER_PUMPS)  # the first is the receipts' own
    return 1


@cache
def _broker(family: str) -> Broker:
    # Kept: on Redis a new one is a new connection.
    return get_broker(family)


_woken_at: dict[str, float] = {}


def wake(family: str) -> None:
    """Say that a family's table has work, after the commit. Never fails the caller.

    Does nothing while a pump of the family is alive anywhere: it looks by itself many times a
    second. A short task may have looked a moment ago, so that it is called whenever no call waits.
    """
    now = time.monotonic()
    if family in PUMPS and now - _woken_at.get(family, -WAKE_SECONDS) < WAKE_SECONDS:
        return
    _woken_at[family] = now
    try:
        alive_since = clock.now() - timedelta(seconds=ALIVE_SECONDS)
        if (
            family not in PUMPS
            or not Heartbeat.objects.filter(family=family, beat_at__gte=alive_since).exists()
        ):
            send_hint(family)
    except Exception:
        log.exception("the hint was not sent; the supervisor will look", family=family)


def send_hint(family: str) -> bool:
    """Put one hint into the family's queue, unless one waits there already."""
    broker = _broker(family)
    if broker.queue_size() > 0:
        return False
    task = PUMPS.get(family) or PERIODIC[family]
    async_task(task, broker=broker, save=False, task_name=f"{family} pump")
    return True


def call_task(task: str) -> None:
    """Put one of CALLED into its family's queue, after the commit. Never fails the caller."""
    try:
        async_task(task, broker=_broker(CALLED[task]), save=False, task_name=task)
    except Exception:
        log.exception("the task was not called; its schedule will", task=task)


def ensure_schedules() -> None:
    """The backstop: django-q2's own schedules, one for each family that this node serves, one for
    what a family does every hour, and one for each task beside these."""
    for family in enabled_families():
        every_minute = {"schedule_type": Schedule.MINUTES, "minutes": 1}
        task = PUMPS.get(family) or PERIODIC[family]
        _ensure_schedule(f"webhooks-{family}", family, func=task, **every_minute)
        if family in HOURLY:
            _ensure_schedule(
                f"webhooks-{family}-hourly",
                family,
                func=HOURLY[family],
                schedule_type=Schedule.HOURLY,
            )
        for called in (name for name, served_by in CALLED.items() if served_by == family):
            _ensure_schedule(f"webhooks-{called}", family, func=called, **every_minute)


def _ensure_schedule(name: str, family: str, **when: object) -> None:
    # Nothing keeps two nodes that start together from making one each.
    known = Schedule.objects.filter(name=name).order_by("pk").first()
    Schedule.objects.filter(name=name, pk__gt=known.pk if known else 0).delete()
    Schedule.objects.update_or_create(
        name=name,
        defaults={
            **when,
            "cluster": cluster_of(family),
            "repeats": -1,
            "kwargs": "{'q_options': {'save': False}}",
        },
    )


def queue_depths() -> dict[str, int]:
    """Hints waiting by family; for people, since the work itself is in the tables."""
    depths = {}
    for family in settings.FAMILIES:
        try:
            depths[family] = _broker(family).queue_size()
        except (DatabaseError, OSError):
            depths[family] = -1
    return depths
