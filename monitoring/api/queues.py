from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring.queues import Line, Queue, lines_due, queues_of
from webhooks_project.accounts.models import Account
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.scoping import scoped
from webhooks_project.lib import clock
from webhooks_project.queues import enabled_families


class LineSerializer(serializers.Serializer[Any]):
    """What is due in one line, and by how much the oldest of it is overdue, for whatever reason."""

    lane = serializers.CharField()
    depth = serializers.IntegerField()
    age_seconds = serializers.FloatField()


class QueueStateSerializer(serializers.Serializer[Any]):
    family = serializers.CharField()
    heartbeat_seconds = serializers.FloatField(
        allow_null=True, help_text="Since its last sign of life; told to the platform's staff."
    )
    age_seconds = serializers.FloatField(
        help_text="By how much the caller's oldest work is overdue; for the platform's staff, the "
        "oldest that nobody works at."
    )
    lines = LineSerializer(many=True)


class QueuesView(APIView):
    """How far behind each queue is: an account's with its own work, the whole hub's for its staff.

    Nobody sees from how old the hub's work is what other accounts do.
    """

    @extend_schema(
        parameters=[OpenApiParameter("account", str, description="Only this account's work.")],
        responses=QueueStateSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        now = clock.now()
        caller = caller_of(request)
        asked = request.query_params.get("account")
        if caller.everything and asked is None:
            everything = lines_due(now)
            queues = queues_of(enabled_families(), now)
            return Response([_hub(queue, everything, now) for queue in queues])
        rows = scoped(Account.objects.order_by(), request, "pk")
        if asked is not None:
            rows = rows.filter(pk=serializers.UUIDField().run_validation(asked))
        lines = lines_due(now, accounts=list(rows.values_list("pk", flat=True)))
        return Response([_own(family, lines, now) for family in settings.FAMILIES])


def _hub(queue: Queue, lines: Sequence[Line], now: datetime) -> dict[str, Any]:
    return {
        "family": queue.family,
        "heartbeat_seconds": queue.heartbeat_seconds,
        "age_seconds": queue.age_seconds,
        "lines": _lines(queue.family, lines, now),
    }


def _own(family: str, lines: Sequence[Line], now: datetime) -> dict[str, Any]:
    shown = _lines(family, lines, now)
    return {
        "family": family,
        "heartbeat_seconds": None,
        "age_seconds": max((line["age_seconds"] for line in shown), default=0.0),
        "lines": shown,
    }


def _lines(family: str, lines: Sequence[Line], now: datetime) -> list[dict[str, Any]]:
    return [
        {"lane": line.lane, "depth": line.depth, "age_seconds": line.age_seconds(now)}
        for line in lines
        if line.family == family
    ]
