from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring.readiness import queue_states
from webhooks_project.lib import clock


class QueueStateSerializer(serializers.Serializer[Any]):
    family = serializers.CharField()
    heartbeat_seconds = serializers.FloatField(allow_null=True)
    age_seconds = serializers.FloatField()


class QueuesView(APIView):
    """For each queue: how long ago a pump gave a sign of life, and how old its due work is."""

    @extend_schema(responses=QueueStateSerializer(many=True))
    def get(self, request: Request) -> Response:
        states = queue_states(clock.now())
        return Response([{"family": family, **state} for family, state in states.items()])
