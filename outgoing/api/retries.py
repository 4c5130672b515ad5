"""The retry queue."""

from __future__ import annotations

from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing import retries
from outgoing.api.serializers import DeliverySerializer, RetrySerializer
from outgoing.models import Retry
from outgoing.policies import SCHEDULES, RetryPolicy
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet


class PlannedAttemptSerializer(serializers.Serializer[Any]):
    """An attempt, if all before it fail at once. Seconds are counted from the first; receivers that
    ask for more time, timeouts and limits make it later."""

    number = serializers.IntegerField()
    after_seconds = serializers.FloatField()
    earliest_seconds = serializers.FloatField()
    latest_seconds = serializers.FloatField()


class RetryPolicySerializer(serializers.Serializer[Any]):
    """A named policy and when its attempts are."""

    name = serializers.ChoiceField(choices=list(SCHEDULES))
    attempts = PlannedAttemptSerializer(many=True)


class PostponeSerializer(serializers.Serializer[Any]):
    """Until when."""

    until = serializers.DateTimeField(help_text="In the next thirty days.")


class DueCountsSerializer(serializers.Serializer[Any]):
    """How many retries are due when; each is counted once."""

    overdue = serializers.IntegerField()
    within_1_minute = serializers.IntegerField()
    within_10_minutes = serializers.IntegerField()
    within_1_hour = serializers.IntegerField()
    within_6_hours = serializers.IntegerField()
    later = serializers.IntegerField()


class RetryFilter(FilterSet):
    due_since = MomentFilter(field_name="due_at", lookup_expr="gte")
    due_before = MomentFilter(field_name="due_at", lookup_expr="lt")
    account = filters.UUIDFilter(field_name="delivery__account_id")
    subscription = filters.UUIDFilter(field_name="delivery__subscription_id")
    event_type = filters.CharFilter(field_name="delivery__event__type")

    class Meta:
        model = Retry
        fields = ("cause", "number", "delivery")


class RetryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The retry queue, the next due first."""

    account_path = "delivery__account_id"
    queryset = Retry.objects.select_related("delivery__event").defer("delivery__event__data")
    serializer_class = RetrySerializer
    filterset_class = RetryFilter
    ordering = ("due_at", "delivery_id")
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar = {
        "bring_forward": Role.OPERATOR,
        "postpone": Role.OPERATOR,
        "cancel": Role.OPERATOR,
    }

    @extend_schema(responses=DueCountsSerializer)
    @action(detail=False, pagination_class=None)
    def counts(self, request: Request) -> Response:
        """How many are due when; the list's filters hold."""
        rows = self.filter_queryset(self.get_queryset().select_related(None))
        return Response(retries.count_by_due_time(rows))

    @extend_schema(responses=RetryPolicySerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def policies(self, request: Request) -> Response:
        """The named policies, and when their attempts are."""
        found = [
            {"name": name, "attempts": RetryPolicy(schedule=schedule).planned()}
            for name, schedule in SCHEDULES.items()
        ]
        return Response(RetryPolicySerializer(found, many=True).data)

    @extend_schema(request=None, responses=RetrySerializer)
    @action(detail=True, methods=["post"], url_path="bring-forward")
    def bring_forward(self, request: Request, pk: str) -> Response:
        """Make it due now."""
        retry = self.get_object()
        retry.due_at = retries.bring_forward(retry=retry).due_at
        return Response(self.get_serializer(retry).data)

    @extend_schema(request=PostponeSerializer, responses=RetrySerializer)
    @action(detail=True, methods=["post"])
    def postpone(self, request: Request, pk: str) -> Response:
        """Make it due later, or sooner, at that moment."""
        retry = self.get_object()
        serializer = PostponeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        retry.due_at = retries.postpone(retry=retry, **serializer.validated_data).due_at
        return Response(self.get_serializer(retry).data)

    @extend_schema(request=None, responses=DeliverySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Give up the delivery that waits for it."""
        delivery = retries.cancel_retry(retry=self.get_object())
        return Response(DeliverySerializer(delivery).data)
