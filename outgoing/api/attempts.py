"""The API of attempts."""

from __future__ import annotations

import base64

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing.api.serializers import AttemptSerializer, RequestBodySerializer
from outgoing.bodies import body_of
from outgoing.models import Attempt
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet


class AttemptFilter(FilterSet):
    since = MomentFilter(field_name="started_at", lookup_expr="gte")
    until = MomentFilter(field_name="started_at", lookup_expr="lt")
    subscription = filters.UUIDFilter(field_name="delivery__subscription_id")

    class Meta:
        model = Attempt
        fields = ("delivery", "outcome", "cause", "status_code")


class AttemptViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Every HTTP try there was."""

    account_path = "delivery__account_id"
    queryset = Attempt.objects.select_related("delivery")
    serializer_class = AttemptSerializer
    filterset_class = AttemptFilter
    ordering = "-started_at"

    @extend_schema(responses=RequestBodySerializer, filters=False)
    @action(detail=True, url_path="request-body")
    def request_body(self, request: Request, pk: str) -> Response:
        """What it sent, byte for byte as it was signed."""
        attempt = self.get_object()
        found = body_of(attempt)
        encoding, text = _as_text(found.body)
        return Response(
            {
                "attempt": attempt.pk,
                "origin": found.origin,
                "sha256": bytes(attempt.request_sha256).hex(),
                "bytes": attempt.request_bytes,
                "encoding": encoding,
                "body": text,
            }
        )


def _as_text(body: bytes | None) -> tuple[str | None, str | None]:
    if body is None:
        return None, None
    try:
        return "utf-8", body.decode()
    except UnicodeDecodeError:
        return "base64", base64.b64encode(body).decode()
