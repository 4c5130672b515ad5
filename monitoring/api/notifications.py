from __future__ import annotations

from rest_framework import mixins, serializers

from monitoring.models import Notification
from webhooks_project.api.scoping import AccountScopedViewSet


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """A message to one person. `error` is the last try's."""

    class Meta:
        model = Notification
        fields = (
            "id", "account", "kind", "channel", "recipient", "title", "text", "object_type",
            "object_id", "status", "attempt_count", "next_attempt_at", "error", "created_at",
            "sent_at",
        )  # fmt: skip


class NotificationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What people were told, and whether it reached the mail server."""

    queryset = Notification.objects.all()
    serializer_class = NotificationSerializer
    filterset_fields = ("account", "kind", "status", "recipient", "object_type", "object_id")
