"""Is this process up, and is the hub behind it fit for work?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import db
from django.conf import settings
from django.http import HttpRequest, JsonResponse

from monitoring import conf
from monitoring.queues import queues_of
from webhooks_project.lib import clock
from webhooks_project.queues import enabled_families


def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers. Touches nothing else."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers and every queue that this node serves is being worked off.

    503 with the reasons otherwise. For each family: `heartbeat_seconds` since a process that serves
    it gave a sign of life anywhere, `age_seconds` by which the oldest work is overdue that nobody
    works at.
    """
    problems: dict[str, str] = {}
    queues: dict[str, Any] = {}
    try:
        queues = queue_states(clock.now(), enabled_families())
    except db.Error as error:
        problems["database"] = type(error).__name__
    for family, state in queues.items():
        if problem := problem_of(family, state):
            problems[family] = problem
    return JsonResponse(
        {"status": "unready" if problems else "ready", "problems": problems, "queues": queues},
        status=503 if problems else 200,
    )


def queue_states(now: datetime, families: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """For each family of the hub, or of those: its sign of life, and its oldest unserved work."""
    return {
        queue.family: {
            "heartbeat_seconds": queue.heartbeat_seconds,
            "age_seconds": queue.age_seconds,
        }
        for queue in queues_of(settings.FAMILIES if families is None else families, now)
    }


def problem_of(family: str, state: dict[str, Any]) -> str:
    """Why the family makes a node unready that serves it; empty where it does not."""
    beat = state["heartbeat_seconds"]
    if beat is None or beat > conf.ready_silent_seconds(family):
        return "no pump is alive"
    if state["age_seconds"] > conf.ready_age_seconds(family):
        return "work is overdue"
    return ""
