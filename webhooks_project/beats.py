"""Signs of life of the families that have no pumps: each time that a task of theirs has ended."""

from __future__ import annotations

from typing import Any

import structlog
from django import db
from django.conf import settings
from django_q.signals import post_execute

from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat
from webhooks_project.queues import PERIODIC, cluster_of

log = structlog.get_logger(__name__)

FAMILIES = {task: family for family, task in PERIODIC.items()}


def connect() -> None:
    """Have each worker of this process note the tasks that it has ended."""
    post_execute.connect(note_task, dispatch_uid="webhooks_project.beats")


def note_task(sender: Any, task: dict[str, Any], **_: Any) -> None:
    """Note that the family's task was run, well or not: its queue is served. Never fails."""
    family = FAMILIES.get(str(task.get("func")))
    if family is not None:
        note_sign_of_life(family)


def note_sign_of_life(family: str) -> None:
    """Note that the family's queue is served on this node. Never fails."""
    key = {"host": settings.HUB_NODE, "cluster": cluster_of(family), "family": family, "slot": 0}
    try:
        Heartbeat.objects.update_or_create(**key, defaults={"beat_at": clock.now()})
    except db.Error as error:
        log.warning("the sign of life was not noted", family=family, error=str(error)[:200])
