from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.channels import services
from monitoring.models import Notification
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountScopedViewSet


class NotificationSerializer(serializers.ModelSerializer[Notification]):
    """A message to one person or place. `error` is the last try's, or why it was withdrawn;
    `combined_in` the message that it was told as a part of."""

    class Meta:
        model = Notification
        fields = (
            "id", "account", "kind", "via", "channel", "recipient", "incident", "moment", "title",
            "text", "object_type", "object_id", "status", "combined_in", "attempt_count",
            "next_attempt_at", "error", "created_at", "sent_at",
        )  # fmt: skip


class NotificationViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What people were told, and whether it was taken: by the mail server, the chat, the pager."""

    queryset = Notification.objects.all()
    serializer_class = NotificationSerializer
    filterset_fields = (
        "account", "kind", "via", "channel", "incident", "moment", "status", "recipient",
        "object_type", "object_id",
    )  # fmt: skip
    roles: ClassVar = {"resend": Role.OPERATOR}

    @extend_schema(request=None, responses=NotificationSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """Try one that has failed again, at once and from the first try on."""
        notification = services.resend_notification(notification=self.get_object())
        return Response(self.get_serializer(notification).data)
