"""Dead receipts: those that could not be processed, or whose handlers could not do their work."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incoming import services
from incoming.api.replays import OwnSourceField
from incoming.api.serializers import ReceiptSerializer
from incoming.dead_letters import (
    DeadReceipts,
    dead_receipts,
    died_in,
    discard_dead_receipt,
    discard_dead_receipts,
    group_dead_receipts,
    reprocess_dead_receipts,
)
from incoming.models import Receipt
from webhooks_project.accounts.models import Role
from webhooks_project.api.dead_letters import (
    CountSerializer,
    DeadLetterActions,
    GroupSerializer,
    ReasonSerializer,
    SelectionSerializer,
)
from webhooks_project.api.filters import FilterSet, MomentFilter


class DeadReceiptGroupSerializer(GroupSerializer):
    """Dead receipts that failed alike: of one source, with one cause, and errors that are the same
    but for numbers, ids and times. `text` names the handler where one could not do its work;
    `sample` is the last of them."""

    source = serializers.UUIDField(source="source_id")  # type: ignore[assignment]  # DRF's own
    cause = serializers.CharField()


class DeadReceiptGroupsSerializer(serializers.Serializer[Any]):
    """How many groups there are, and the hundred largest."""

    count = serializers.IntegerField()
    results = DeadReceiptGroupSerializer(many=True)


class DeadReceiptsSerializer(SelectionSerializer):
    """Which dead receipts: those with all of these marks. One beside the account is to be named."""

    source = OwnSourceField(required=False)  # type: ignore[assignment]  # DRF's own
    cause = serializers.CharField(max_length=64, required=False)
    handler = serializers.CharField(
        max_length=255, required=False, help_text="The one that could not do its work."
    )
    type = serializers.CharField(max_length=255, required=False)


class DiscardDeadReceiptsSerializer(ReasonSerializer, DeadReceiptsSerializer):
    """Which dead receipts, and why nobody is to take them up."""


class DeadReceiptFilter(FilterSet):
    since = MomentFilter(field_name="dead_at", lookup_expr="gte")
    until = MomentFilter(field_name="dead_at", lookup_expr="lt")
    handler = filters.CharFilter(
        method="by_handler", help_text="The one that could not do its work."
    )

    class Meta:
        model = Receipt
        fields = ("account", "source", "cause", "type", "fingerprint")

    def by_handler(self, queryset: QuerySet[Receipt], name: str, value: str) -> QuerySet[Receipt]:
        return queryset.filter(died_in(value))


class DeadReceiptViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, DeadLetterActions):
    """The receipts that wait for a person, the last one first."""

    queryset = dead_receipts().defer("body", "headers")
    serializer_class = ReceiptSerializer
    filterset_class = DeadReceiptFilter
    ordering = ("-dead_at", "-id")
    letters = DeadReceipts
    form = DeadReceiptsSerializer
    discard_form = DiscardDeadReceiptsSerializer
    groups_form = DeadReceiptGroupsSerializer
    group = group_dead_receipts
    again = reprocess_dead_receipts
    discard_rows = discard_dead_receipts
    roles: ClassVar = {
        "reprocess": Role.OPERATOR,
        "discard": Role.OPERATOR,
        "reprocess_many": Role.OPERATOR,
        "discard_many": Role.OPERATOR,
    }

    @extend_schema(responses=DeadReceiptGroupsSerializer)
    @action(detail=False, pagination_class=None)
    def groups(self, request: Request) -> Response:
        """Those that failed alike together, the largest group first; the list's filters hold."""
        return self.largest_groups(self.filter_queryset(self.get_queryset()))

    @extend_schema(request=None, responses=ReceiptSerializer)
    @action(detail=True, methods=["post"])
    def reprocess(self, request: Request, pk: str) -> Response:
        """Process it again; it is not verified anew."""
        receipt = services.reprocess_receipt(receipt=self.get_object())
        return Response(self.get_serializer(receipt).data)

    @extend_schema(request=ReasonSerializer, responses=ReceiptSerializer)
    @action(detail=True, methods=["post"])
    def discard(self, request: Request, pk: str) -> Response:
        """Take it off the list for good, with the reason."""
        receipt = self.get_object()
        receipt = discard_dead_receipt(receipt=receipt, reason=self.reason_in(request))
        return Response(self.get_serializer(receipt).data)

    @extend_schema(
        operation_id="incoming_dead_letters_reprocess_many",
        request=DeadReceiptsSerializer,
        responses=CountSerializer,
    )
    @action(detail=False, methods=["post"], url_path="reprocess")
    def reprocess_many(self, request: Request) -> Response:
        """Process a group, or all that a filter finds, again; at most 10,000 in one call."""
        return self.do_again(request)

    @extend_schema(
        operation_id="incoming_dead_letters_discard_many",
        request=DiscardDeadReceiptsSerializer,
        responses=CountSerializer,
    )
    @action(detail=False, methods=["post"], url_path="discard")
    def discard_many(self, request: Request) -> Response:
        """Take a group, or all that a filter finds, off the list; at most 10,000 in one call."""
        return self.discard_all(request)
