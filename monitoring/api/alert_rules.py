from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incoming.models import Source
from monitoring.alert_rules import change_rule, create_rule, delete_rule
from monitoring.kinds import KINDS
from monitoring.models import AlertRule, Channel
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Role
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.scoping import (
    AccountField,
    AccountScopedViewSet,
    account_for_create,
    scoped,
)

if TYPE_CHECKING:
    _RelatedField = serializers.PrimaryKeyRelatedField[Any]
else:
    _RelatedField = serializers.PrimaryKeyRelatedField


@extend_schema_field(OpenApiTypes.UUID)
class _RowField(_RelatedField):
    """A row of the caller's accounts; another's is as good as none."""

    model: type[Any]

    def get_queryset(self) -> QuerySet[Any]:
        return scoped(self.model._default_manager.all(), self.context["request"], "account_id")


class _SubscriptionField(_RowField):
    model = Subscription


class _SourceField(_RowField):
    model = Source


class _ChannelField(_RowField):
    model = Channel


class AlertRuleSerializer(serializers.ModelSerializer[AlertRule]):
    """When an account has a problem, and through which channels its people are told.

    `threshold` is in the unit of the kind. Without a subscription and a source it is about each of
    the account's, save those that a rule of its kind names. `rise_factor` is how many times what is
    usual a count must be as well; null where the threshold alone decides. What is not given is the
    kind's own.
    """

    account = AccountField()
    subscription = _SubscriptionField(required=False, allow_null=True)
    source = _SourceField(required=False, allow_null=True)  # type: ignore[assignment]
    channels = _ChannelField(many=True, required=False)
    escalation_channels = _ChannelField(many=True, required=False)
    unit = serializers.SerializerMethodField()

    class Meta:
        model = AlertRule
        fields = (
            "id", "account", "name", "kind", "severity", "subscription", "source", "threshold",
            "unit", "window_seconds", "rise_factor", "opens_after_seconds",
            "resolves_after_seconds", "channels", "escalates_after_seconds",
            "escalation_channels", "enabled", "created_at",
        )  # fmt: skip
        read_only_fields = ("created_at",)
        extra_kwargs: ClassVar = {"threshold": {"required": False}}
        validators: ClassVar[list[Any]] = []

    def get_unit(self, rule: AlertRule) -> str:
        facts = KINDS.get(AlertRule.Kind(rule.kind))
        return facts.unit if facts else ""


class KindOfRuleSerializer(serializers.Serializer[Any]):
    """A kind of rule: what it looks at, what its threshold means and may be, where it starts."""

    kind = serializers.CharField()
    title = serializers.CharField()
    text = serializers.CharField()
    about = serializers.ListField(child=serializers.CharField())
    unit = serializers.CharField()
    threshold = serializers.FloatField()
    lowest = serializers.FloatField()
    highest = serializers.FloatField()
    windows = serializers.ListField(child=serializers.IntegerField())
    rise_factor = serializers.FloatField(allow_null=True)
    severity = serializers.CharField()
    opens_after_seconds = serializers.IntegerField()
    resolves_after_seconds = serializers.IntegerField()


class AlertRuleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """When accounts have a problem. Every account starts with rules of each kind."""

    queryset = AlertRule.objects.prefetch_related("channels", "escalation_channels")
    serializer_class = AlertRuleSerializer
    filterset_fields = ("account", "kind", "severity", "enabled", "subscription", "source")
    ordering = ("name", "id")
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar = {
        "create": Role.OPERATOR,
        "partial_update": Role.OPERATOR,
        "destroy": Role.OPERATOR,
    }

    @extend_schema(request=AlertRuleSerializer, responses={201: AlertRuleSerializer})
    def create(self, request: Request) -> Response:
        """Make a rule."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        rule = create_rule(account=account, is_staff=caller_of(request).everything, **fields)
        return Response(self.get_serializer(rule).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=AlertRuleSerializer(partial=True), responses=AlertRuleSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields. Its kind and its account stay."""
        rule = self.get_object()
        serializer = self.get_serializer(rule, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        for name in ("account", "kind"):
            if fields.pop(name, getattr(rule, name)) != getattr(rule, name):
                raise serializers.ValidationError({name: [f"the {name} of a rule stays"]})
        change_rule(rule=rule, is_staff=caller_of(request).everything, **fields)
        return Response(self.get_serializer(self.get_object()).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it; its open incidents are resolved."""
        delete_rule(rule=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(responses=KindOfRuleSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def kinds(self, request: Request) -> Response:
        """Every kind of rule, with what its threshold means and may be."""
        return Response(
            [
                {
                    "kind": kind.value,
                    "title": facts.title,
                    "text": facts.text,
                    "about": sorted(facts.about),
                    "unit": facts.unit,
                    "threshold": facts.default,
                    "lowest": facts.lowest,
                    "highest": facts.highest,
                    "windows": list(facts.windows),
                    "rise_factor": facts.rise_factor,
                    "severity": facts.severity.value,
                    "opens_after_seconds": facts.opens_after_seconds,
                    "resolves_after_seconds": facts.resolves_after_seconds,
                }
                for kind, facts in KINDS.items()
            ]
        )
