from __future__ import annotations

from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.models import HealthCheck, HealthPolicy
from monitoring.policies import change_policy
from monitoring.thresholds import THRESHOLDS, limits_with
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import FilterSet
from webhooks_project.api.scoping import AccountScopedViewSet


class HealthSerializer(serializers.ModelSerializer[HealthCheck]):
    """The health of one subscription's endpoint or of one source, as it was last judged.

    `state` is taken once the figures have asked for it for as long as the health policy says;
    `wanted_state` is what they ask for at present. `figures` are those it was judged by: windows of
    300, 3600 and 86400 seconds back.
    """

    name = serializers.SerializerMethodField()
    reasons = serializers.ListField(child=serializers.CharField(), read_only=True)
    figures = serializers.DictField(read_only=True)

    class Meta:
        model = HealthCheck
        fields = (
            "id", "account", "subscription", "source", "name", "state", "state_since",
            "wanted_state", "wanted_since", "reasons", "figures", "judged_at",
        )  # fmt: skip

    def get_name(self, check: HealthCheck) -> str:
        return str(check.subscription or check.source)


class HealthFilter(FilterSet):
    about = filters.ChoiceFilter(
        choices=[("subscription", "subscription"), ("source", "source")],
        method="filter_about",
        help_text="Only endpoints of subscriptions, or only sources.",
    )

    class Meta:
        model = HealthCheck
        fields = ("account", "state", "subscription", "source")

    def filter_about(self, rows: Any, name: str, value: str) -> Any:
        return rows.filter(**{f"{value}__isnull": False})


class HealthViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """How well endpoints and sources do, what changed last first."""

    queryset = HealthCheck.objects.select_related("subscription", "source").only(
        "account_id", "state", "state_since", "wanted_state", "wanted_since", "reasons", "figures",
        "judged_at", "subscription__name", "source__name",
    )  # fmt: skip
    serializer_class = HealthSerializer
    filterset_class = HealthFilter
    ordering = ("-state_since", "id")
    lookup_value_regex = "[0-9a-f-]{36}"


class ThresholdSerializer(serializers.Serializer[Any]):
    """A number that decides between states: its unit, default and bounds."""

    name = serializers.CharField()
    unit = serializers.CharField()
    default = serializers.FloatField()
    lowest = serializers.FloatField()
    highest = serializers.FloatField()
    text = serializers.CharField()


class HealthPolicySerializer(serializers.ModelSerializer[HealthPolicy]):
    """What an account calls degraded, failing and down. `thresholds` are all of them, `own` the
    names of those that differ from the default."""

    thresholds = serializers.SerializerMethodField()
    own = serializers.SerializerMethodField()

    class Meta:
        model = HealthPolicy
        fields = ("id", "account", "thresholds", "own", "judged_at", "created_at")

    def get_thresholds(self, policy: HealthPolicy) -> dict[str, float]:
        return dict(limits_with(policy.thresholds))

    def get_own(self, policy: HealthPolicy) -> list[str]:
        return sorted(policy.thresholds)


class HealthPolicyChangeSerializer(serializers.Serializer[Any]):
    """Thresholds by name; null for the default. Those that are not named stay."""

    thresholds = serializers.DictField(child=serializers.FloatField(allow_null=True))


class HealthPolicyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What each account calls degraded, failing and down. Every account has one."""

    queryset = HealthPolicy.objects.all()
    serializer_class = HealthPolicySerializer
    filterset_fields = ("account",)
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar = {"partial_update": Role.OPERATOR}

    @extend_schema(request=HealthPolicyChangeSerializer, responses=HealthPolicySerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Set the named thresholds."""
        policy = self.get_object()
        serializer = HealthPolicyChangeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        change_policy(policy=policy, **serializer.validated_data)
        return Response(self.get_serializer(policy).data)

    @extend_schema(responses=ThresholdSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def thresholds(self, request: Request) -> Response:
        """Every threshold: what it means, its unit, default and bounds."""
        return Response(
            [
                {
                    "name": name,
                    "unit": item.unit,
                    "default": item.default,
                    "lowest": item.lowest,
                    "highest": item.highest,
                    "text": item.text,
                }
                for name, item in THRESHOLDS.items()
            ]
        )
