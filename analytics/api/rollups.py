"""The counts themselves, period by period."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import mixins, serializers

from analytics.models import ReceiptRollup, Rollup, Scope
from analytics.periods import Grain
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet

GRAINS = {grain.name.lower(): grain for grain in Grain}


@extend_schema_field(OpenApiTypes.STR)
class GrainField(serializers.Field[Grain, Any, str, Any]):
    """`minute`, `hour`, `day` or `month`."""

    def to_representation(self, value: int) -> str:
        return Grain(value).name.lower()


class RollupSerializer(serializers.ModelSerializer[Rollup]):
    """One period of one subscription's attempts, by event type, the source that the event came in
    through (null where it was published), cause and status class. `at` is its start; `minute` is
    the same, as it is called by those who read minutes."""

    grain = GrainField(read_only=True)
    minute = serializers.DateTimeField(source="at", read_only=True)
    duration_ms_sum = serializers.SerializerMethodField()
    duration_ms_max = serializers.FloatField(source="max_ms", read_only=True)

    class Meta:
        model = Rollup
        fields = (
            "account", "subscription", "event_type", "source", "grain", "at", "minute", "cause",
            "status_class", "attempts", "first_attempts", "retries", "exhausted", "request_bytes",
            "response_bytes", "duration_ms_sum", "duration_ms_max",
        )  # fmt: skip

    def get_duration_ms_sum(self, rollup: Rollup) -> float:
        return rollup.total_us_sum / 1000


class ReceiptRollupSerializer(serializers.ModelSerializer[ReceiptRollup]):
    """One period of one source's receipts, by verdict, cause of a refusal and type; that is empty
    where receipts are not counted by it. `at` is its start."""

    grain = GrainField(read_only=True)

    class Meta:
        model = ReceiptRollup
        fields = (
            "account", "source", "event_type", "grain", "at", "verdict", "cause", "receipts",
            "receipt_bytes",
        )  # fmt: skip


@extend_schema_field({"type": "string", "enum": list(GRAINS), "default": "minute"})
class GrainFilter(filters.ChoiceFilter):
    """One grain always: each has all that is counted again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"choices": [(name, name) for name in GRAINS], **kwargs})

    def filter(self, qs: Any, value: str) -> Any:
        return qs.filter(grain=GRAINS[value or "minute"])


class PeriodsFilter(FilterSet):
    grain = GrainFilter(help_text="How long the periods are.")
    since = MomentFilter(field_name="at", lookup_expr="gte")
    until = MomentFilter(field_name="at", lookup_expr="lt")


class RollupFilter(PeriodsFilter):
    class Meta:
        model = Rollup
        fields = ("account", "subscription", "event_type", "source", "cause", "status_class")


class ReceiptRollupFilter(PeriodsFilter):
    class Meta:
        model = ReceiptRollup
        fields = ("account", "source", "event_type", "verdict", "cause")


class RollupViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """Attempts by period, as long as periods of that grain are kept."""

    queryset = Rollup.objects.filter(scope=Scope.FULL)
    serializer_class = RollupSerializer
    filterset_class = RollupFilter
    ordering = ("-at", "id")


class ReceiptRollupViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """Receipts by period, as long as periods of that grain are kept."""

    queryset = ReceiptRollup.objects.filter(scope=Scope.FULL)
    serializer_class = ReceiptRollupSerializer
    filterset_class = ReceiptRollupFilter
    ordering = ("-at", "id")
