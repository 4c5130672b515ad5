from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from analytics import objectives
from analytics.models import Objective
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create
from webhooks_project.api.scoping import scoped as cut_down
from webhooks_project.lib import clock


class SubscriptionField(serializers.PrimaryKeyRelatedField[Subscription]):
    """One of the caller's subscriptions."""

    def get_queryset(self) -> Any:
        return cut_down(Subscription.objects.all(), self.context["request"], "account_id")


class ObjectiveSerializer(serializers.ModelSerializer[Objective]):
    """The share of attempts, of first attempts, or of deliveries in the end (those that ended
    meanwhile, delivered or given up) that shall succeed within so many days; of a subscription, or
    of the account where there is none."""

    account = AccountField()
    subscription = SubscriptionField(required=False, allow_null=True)

    class Meta:
        model = Objective
        fields = (
            "id", "account", "subscription", "counts", "target_percent", "window_days",
            "created_at",
        )  # fmt: skip
        read_only_fields = ("id", "created_at")
        validators: ClassVar[list[Any]] = []  # the service says what is there already


class BurnRateSerializer(serializers.Serializer[Any]):
    """1 uses the budget up in just the objective's days; null where nothing was attempted."""

    window_seconds = serializers.SerializerMethodField()
    total = serializers.IntegerField()
    failed = serializers.IntegerField()
    rate = serializers.FloatField(allow_null=True)

    def get_window_seconds(self, burn: objectives.BurnRate) -> int:
        return int(burn.window.total_seconds())


class ObjectiveStatusSerializer(serializers.Serializer[Any]):
    """Where it stands. Rates are 0 to 1; the budget is counted in failures."""

    objective = serializers.UUIDField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    target = serializers.FloatField()
    attained = serializers.FloatField(allow_null=True)
    is_met = serializers.BooleanField()
    total = serializers.IntegerField()
    failed = serializers.IntegerField()
    budget = serializers.FloatField()
    budget_left = serializers.FloatField()
    budget_left_rate = serializers.FloatField()
    burn = BurnRateSerializer(many=True)


class ObjectiveViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    AccountScopedViewSet,
):
    """What share of deliveries shall succeed."""

    queryset = Objective.objects.all()
    serializer_class = ObjectiveSerializer
    filterset_fields = ("account", "subscription")
    ordering = ("-created_at", "id")
    roles: ClassVar = {
        "create": Role.OPERATOR,
        "partial_update": Role.OPERATOR,
        "destroy": Role.OPERATOR,
    }
    http_method_names = [  # noqa: RUF012 - as its base class declares it
        "get", "post", "patch", "delete", "head", "options",
    ]  # fmt: skip

    def perform_create(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        serializer.instance = objectives.create_objective(account=account, **fields)

    def perform_update(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        for name in ("account", "subscription"):
            if fields.pop(name, getattr(serializer.instance, name)) != getattr(
                serializer.instance, name
            ):
                raise serializers.ValidationError({name: [f"an objective's {name} stays"]})
        objectives.change_objective(objective=serializer.instance, **fields)

    def perform_destroy(self, instance: Objective) -> None:
        objectives.delete_objective(objective=instance)

    @extend_schema(responses=ObjectiveStatusSerializer)
    @action(detail=True)
    def status(self, request: Request, pk: str) -> Response:
        """What is attained up to now, what is left of the error budget, and how fast it burns."""
        objective = self.get_object()
        found = objectives.status_of(objective, clock.now())
        shown = {"objective": objective.pk, **asdict(found), "burn": found.burn}
        return Response(ObjectiveStatusSerializer(shown).data)
