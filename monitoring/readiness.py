"""Is this process up, and is the hub behind it fit for work?"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django import db
from django.db.models import Max, Min, QuerySet
from django.http import HttpRequest, JsonResponse

from incoming.models import HandlerRun, Receipt
from outgoing.models import Delivery, Retry
from webhooks_project.lib import clock
from webhooks_project.models import Heartbeat
from webhooks_project.queues import PUMPS, enabled_families

SILENT_SECONDS: Final = 30  # a family without a heartbeat for longer makes the hub unready
MAX_AGE_SECONDS: Final = 300  # and so does work that has waited longer than this past its time


def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers. Touches nothing else."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when the database answers and every queue that this node serves is being worked off.

    503 with the reasons otherwise. For each family: `heartbeat_seconds` since a pump of it gave a
    sign of life anywhere, `age_seconds` by which its oldest due work is overdue.
    """
    problems: dict[str, str] = {}
    queues: dict[str, Any] = {}
    try:
        queues = queue_states(clock.now())
    except db.Error as error:
        problems["database"] = type(error).__name__
    for family, state in queues.items():
        beat = state["heartbeat_seconds"]
        if beat is None or beat > SILENT_SECONDS:
            problems[family] = "no pump is alive"
        elif state["age_seconds"] > MAX_AGE_SECONDS:
            problems[family] = "work is overdue"
    return JsonResponse(
        {"status": "unready" if problems else "ready", "problems": problems, "queues": queues},
        status=503 if problems else 200,
    )


def queue_states(now: datetime) -> dict[str, dict[str, Any]]:
    """For each family with a pump that this node serves: its sign of life and its oldest work."""
    beats = dict(
        Heartbeat.objects.filter(beat_at__gte=now - timedelta(days=1))
        .values_list("family")
        .annotate(last=Max("beat_at"))
    )
    waiting: dict[str, list[tuple[QuerySet[Any], str]]] = {
        "processing": [
            (Receipt.objects.all().due(now), "next_attempt_at"),
            (HandlerRun.objects.all().due(now), "next_attempt_at"),
        ],
        "delivery": [(Delivery.objects.filter(lane__isnull=False), "next_attempt_at")],
        "retry": [(Retry.objects.all().due(now), "due_at")],
    }
    states = {}
    for family in enabled_families():
        if family not in PUMPS:
            continue
        oldest = [
            rows.order_by().aggregate(oldest=Min(column))["oldest"]
            for rows, column in waiting[family]
        ]
        due_at = min((moment for moment in oldest if moment), default=None)
        beat_at = beats.get(family)
        states[family] = {
            "heartbeat_seconds": (now - beat_at).total_seconds() if beat_at else None,
            "age_seconds": max(0.0, (now - due_at).total_seconds()) if due_at else 0.0,
        }
    return states
