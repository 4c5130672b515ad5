from __future__ import annotations

from typing import ClassVar

from rest_framework import mixins, serializers

from monitoring.models import Activity, AuditEntry
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountScopedViewSet


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
