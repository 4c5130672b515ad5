"""The API of deliveries."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing import services
from outgoing.api.serializers import (
    DeliverySerializer,
    DeliveryWithAttemptsSerializer,
    StepSerializer,
)
from outgoing.explaining import timeline_of
from outgoing.models import Delivery
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet


class DeliveryFilter(FilterSet):
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")
    event_type = filters.CharFilter(field_name="event__type")

    class Meta:
        model = Delivery
        fields = (
            "account", "status", "subscription", "event", "last_cause", "fingerprint", "replay",
        )  # fmt: skip


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The duties to deliver, and their state."""

    queryset = Delivery.objects.select_related("retry")
    filterset_class = DeliveryFilter
    # Discarding is the dead letters' own view: outgoing/api/dead_letters.py.
    roles: ClassVar = dict.fromkeys(("redeliver", "cancel", "discard"), Role.OPERATOR)

    def get_serializer_class(self) -> Any:
        return DeliverySerializer if self.action == "list" else DeliveryWithAttemptsSerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        queryset = super().get_queryset()
        return queryset if self.action == "list" else queryset.prefetch_related("attempts")

    @extend_schema(request=None, responses=DeliveryWithAttemptsSerializer)
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, pk: str) -> Response:
        """Carry it again from the start of the retry schedule, with the same `webhook-id`."""
        services.redeliver_one(delivery=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None, responses=DeliveryWithAttemptsSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Give up a pending or held delivery."""
        services.cancel_delivery(delivery=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(responses=StepSerializer(many=True), filters=False)
    @action(detail=True)
    def timeline(self, request: Request, pk: str) -> Response:
        """The delivery's whole way in order, and what it waits for."""
        return Response(StepSerializer(timeline_of(self.get_object()), many=True).data)
