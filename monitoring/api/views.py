from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from monitoring.health import queue_states
from monitoring.models import Activity, AuditEntry, Notification
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountScopedViewSet
from webhooks_project.lib import clock


class ActivitySerializer(serializers.ModelSerializer[Activity]):
    """What the hub did, for people to read."""

    class Meta:
        model = Activity
        fields = ("id", "account", "kind", "text", "object_type", "object_id", "created_at")


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """Who changed what. `hash` covers the entry and the hash before it."""

    class Meta:
        model = AuditEntry
        fields = (
            "id", "account", "sequence", "created_at", "actor_kind", "actor_id", "actor_label",
            "actor_address", "action", "object_type", "object_id", "before", "after",
            "previous_hash", "hash",
        )  # fmt: skip


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """A message to one person. `error` is the last try's."""

    class Meta:
        model = Notification
        fields = (
            "id", "account", "kind", "channel", "recipient", "title", "text", "object_type",
            "object_id", "status", "attempt_count", "next_attempt_at", "error", "created_at",
            "sent_at",
        )  # fmt: skip


class ActivityViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What the hub did."""

    queryset = Activity.objects.all()
    serializer_class = ActivitySerializer
    filterset_fields = ("account", "kind", "object_type", "object_id")


class AuditEntryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Who changed what."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_fields = ("account", "action", "object_type", "object_id", "actor_id")
    roles: ClassVar = {"list": Role.ADMIN, "retrieve": Role.ADMIN}


class NotificationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What people were told, and whether it reached the mail server."""

    queryset = Notification.objects.all()
    serializer_class = NotificationSerializer
    filterset_fields = ("account", "kind", "status", "recipient", "object_type", "object_id")


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
