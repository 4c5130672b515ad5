from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Sum
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.models import Rollup
from incoming.models import Receipt
from outgoing.models import Delivery, Event
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet, scoped
from webhooks_project.lib import clock

MAX_PERIOD = timedelta(days=31)


class RollupSerializer(serializers.ModelSerializer[Rollup]):
    """One minute of one subscription's attempts, by cause."""

    class Meta:
        model = Rollup
        fields = (
            "account", "subscription", "minute", "cause", "attempts", "first_attempts",
            "duration_ms_sum", "duration_ms_max",
        )  # fmt: skip


class RollupFilter(FilterSet):
    since = MomentFilter(field_name="minute", lookup_expr="gte")
    until = MomentFilter(field_name="minute", lookup_expr="lt")

    class Meta:
        model = Rollup
        fields = ("account", "subscription", "cause")


class RollupViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """Attempts by minute."""

    queryset = Rollup.objects.all()
    serializer_class = RollupSerializer
    filterset_class = RollupFilter
    ordering = ("-minute", "id")


class PeriodSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until: datetime = attrs.get("until") or clock.now()
        since: datetime = attrs.get("since") or until - timedelta(days=1)
        if not timedelta() < until - since <= MAX_PERIOD:
            raise serializers.ValidationError({"until": ["1 second to 31 days after since"]})
        return {"since": since, "until": until}


class OverviewSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    receipts = serializers.DictField(child=serializers.IntegerField(), help_text="By status.")
    events = serializers.IntegerField()
    deliveries = serializers.DictField(child=serializers.IntegerField(), help_text="By status.")
    attempts = serializers.DictField(
        child=serializers.IntegerField(), help_text="By cause; `succeeded` for those without."
    )


class OverviewView(APIView):
    """What came in and went out in a period, by default the last day."""

    @extend_schema(parameters=[PeriodSerializer], responses=OverviewSerializer)
    def get(self, request: Request) -> Response:
        period = PeriodSerializer(data=request.query_params)
        period.is_valid(raise_exception=True)
        since, until = period.validated_data["since"], period.validated_data["until"]
        made = {"created_at__gte": since, "created_at__lt": until}
        receipts = Receipt.objects.filter(received_at__gte=since, received_at__lt=until)
        attempts = Rollup.objects.filter(minute__gte=since, minute__lt=until)
        by_cause = (
            scoped(attempts, request, "account_id")
            .order_by()
            .values_list("cause")
            .annotate(count=Sum("attempts"))
        )
        return Response(
            {
                "since": since,
                "until": until,
                "receipts": _by_status(scoped(receipts, request, "account_id")),
                "events": scoped(Event.objects.filter(**made), request, "account_id").count(),
                "deliveries": _by_status(
                    scoped(Delivery.objects.filter(**made), request, "account_id")
                ),
                "attempts": {cause or "succeeded": count for cause, count in by_cause},
            }
        )


def _by_status(queryset: Any) -> dict[str, int]:
    return dict(queryset.order_by().values_list("status").annotate(count=Count("pk")))
