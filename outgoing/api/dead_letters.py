"""Dead letters: the deliveries that were given up."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing import services
from outgoing.api.serializers import (
    DeliverySerializer,
    DeliveryWithAttemptsSerializer,
    OwnSubscriptionField,
)
from outgoing.dead_letters import (
    DeadLetters,
    discard_dead_letter,
    discard_dead_letters,
    group_dead_letters,
    redeliver_dead_letters,
)
from outgoing.models import Attempt, Delivery
from webhooks_project.accounts.models import Role
from webhooks_project.api.dead_letters import (
    CountSerializer,
    DeadLetterActions,
    GroupSerializer,
    ReasonSerializer,
    SelectionSerializer,
)
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.jobs import type_condition


class DeadLetterGroupSerializer(GroupSerializer):
    """Dead letters that failed alike: of one subscription, with one cause and status, and answers
    that are the same but for numbers, ids and times. `sample` is the last of them."""

    subscription = serializers.UUIDField(source="subscription_id")
    cause = serializers.ChoiceField(choices=Attempt.Cause.choices)
    status_code = serializers.IntegerField(allow_null=True)


class DeadLetterGroupsSerializer(serializers.Serializer[Any]):
    """How many groups there are, and the hundred largest."""

    count = serializers.IntegerField()
    results = DeadLetterGroupSerializer(many=True)


class DeadLettersSerializer(SelectionSerializer):
    """Which dead letters: those with all of these marks. One beside the account is to be named."""

    subscription = OwnSubscriptionField(required=False)
    cause = serializers.ChoiceField(choices=Attempt.Cause.choices, required=False)
    status_code = serializers.IntegerField(required=False, min_value=100, max_value=999)
    event_type = serializers.CharField(
        max_length=128, required=False, help_text="A name, or a beginning with * after it."
    )


class DiscardDeadLettersSerializer(ReasonSerializer, DeadLettersSerializer):
    """Which dead letters, and why nobody is to take them up."""


class DeadLetterFilter(FilterSet):
    since = MomentFilter(field_name="exhausted_at", lookup_expr="gte")
    until = MomentFilter(field_name="exhausted_at", lookup_expr="lt")
    cause = filters.CharFilter(field_name="last_cause")
    status_code = filters.NumberFilter(field_name="last_status_code")
    event_type = filters.CharFilter(
        method="by_type", help_text="A name, or a beginning with * after it."
    )

    class Meta:
        model = Delivery
        fields = ("account", "subscription", "fingerprint")

    def by_type(self, queryset: QuerySet[Delivery], name: str, value: str) -> QuerySet[Delivery]:
        return queryset.filter(type_condition("event__type", value))


class DeadLetterViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeadLetterActions):
    """The deliveries that were given up, the last one first."""

    queryset = Delivery.objects.filter(status=Delivery.Status.EXHAUSTED).select_related("retry")
    filterset_class = DeadLetterFilter
    ordering = ("-exhausted_at", "-id")
    letters = DeadLetters
    form = DeadLettersSerializer
    discard_form = DiscardDeadLettersSerializer
    groups_form = DeadLetterGroupsSerializer
    group = group_dead_letters
    again = redeliver_dead_letters
    discard_rows = discard_dead_letters
    roles: ClassVar = {
        "redeliver": Role.OPERATOR,
        "discard": Role.OPERATOR,
        "redeliver_many": Role.OPERATOR,
        "discard_many": Role.OPERATOR,
    }

    def get_serializer_class(self) -> Any:
        return DeliverySerializer if self.action == "list" else DeliveryWithAttemptsSerializer

    def get_queryset(self) -> QuerySet[Delivery]:
        queryset = super().get_queryset()
        if self.action in ("list", "groups"):
            return queryset
        return queryset.prefetch_related("attempts")

    @extend_schema(responses=DeadLetterGroupsSerializer)
    @action(detail=False, pagination_class=None)
    def groups(self, request: Request) -> Response:
        """Those that failed alike together, the largest group first; the list's filters hold."""
        return self.largest_groups(self.filter_queryset(self.get_queryset()))

    @extend_schema(request=None, responses=DeliveryWithAttemptsSerializer)
    @action(detail=True, methods=["post"])
    def redeliver(self, request: Request, pk: str) -> Response:
        """Carry it again from the start of the retry schedule, with the same `webhook-id`."""
        delivery = services.redeliver_one(delivery=self.get_object())
        return Response(self.get_serializer(delivery).data)

    @extend_schema(request=ReasonSerializer, responses=DeliveryWithAttemptsSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        """Cancel it for good, with the reason."""
        delivery = self.get_object()
        delivery = discard_dead_letter(delivery=delivery, reason=self.reason_in(request))
        return Response(self.get_serializer(delivery).data)

    @extend_schema(
        operation_id="outgoing_dead_letters_redeliver_many",
        request=DeadLettersSerializer,
        responses=CountSerializer,
    )
    @action(detail=False, methods=["post"], url_path="redeliver")
    def redeliver_many(self, request: Request) -> Response:
        """Carry a group, or all that a filter finds, again; at most 10,000 in one call."""
        return self.do_again(request)

    @extend_schema(
        operation_id="outgoing_dead_letters_discard_many",
        request=DiscardDeadLettersSerializer,
        responses=CountSerializer,
    )
    @action(detail=False, methods=["post"], url_path="discard")
    def discard_many(self, request: Request) -> Response:
        """Cancel a group, or all that a filter finds, for good; at most 10,000 in one call."""
        return self.discard_all(request)
