from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incoming import replays
from incoming.models import Receipt, ReceiptReplay, Source
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import (
    AccountField,
    AccountScopedViewSet,
    account_for_create,
    scoped,
)

if TYPE_CHECKING:
    _SourceRelatedField = serializers.PrimaryKeyRelatedField[Source]
else:
    _SourceRelatedField = serializers.PrimaryKeyRelatedField


@extend_schema_field(OpenApiTypes.UUID)
class OwnSourceField(_SourceRelatedField):
    """A source of one of the caller's accounts."""

    def get_queryset(self) -> QuerySet[Source]:
        return scoped(Source.objects.all(), self.context["request"], "account_id")


class PlannedReceiptsSerializer(serializers.Serializer[Any]):
    """Receipts of one source, type and status that would be replayed."""

    source = serializers.UUIDField()  # type: ignore[assignment]  # DRF's own attribute is another
    source_name = serializers.CharField()
    type = serializers.CharField()
    status = serializers.ChoiceField(Receipt.Status.choices)
    count = serializers.IntegerField()


class ReplayPlanSerializer(serializers.Serializer[Any]):
    """What a replay would come to. `left_out` counts, by reason, what fits but is not replayed:
    duplicate, handshake, not_verified, quarantined, waiting, body_pruned, body_cut, repeated."""

    count = serializers.IntegerField()
    oldest = serializers.DateTimeField(allow_null=True)
    receipts = PlannedReceiptsSerializer(many=True)
    left_out = serializers.DictField(child=serializers.IntegerField())


class ReceiptReplaySerializer(serializers.ModelSerializer[ReceiptReplay]):
    """A job that processes past receipts again. Empty fields select any."""

    account = AccountField()
    source = OwnSourceField(required=False, allow_null=True)  # type: ignore[assignment]
    type_pattern = serializers.CharField(
        required=False, allow_blank=True, max_length=255, help_text="A type, or a name ending in *."
    )
    statuses = serializers.ListField(
        child=serializers.ChoiceField(Receipt.Status.choices), required=False
    )
    plan = ReplayPlanSerializer(read_only=True)

    class Meta:
        model = ReceiptReplay
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "since", "until", "source", "receipt_id", "type_pattern", "statuses",
            "cause", "status", "planned_count", "replayed_count", "plan", "error", "requested_by",
            "created_at", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = (
            "status", "planned_count", "replayed_count", "error", "requested_by", "created_at",
            "started_at", "finished_at",
        )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": ["it must be after since"]})
        return attrs


class ReceiptReplayViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Past receipts processed again."""

    queryset = ReceiptReplay.objects.all()
    serializer_class = ReceiptReplaySerializer
    filterset_fields = ("account", "status", "source")
    roles: ClassVar = {"create": Role.OPERATOR, "start": Role.OPERATOR, "cancel": Role.OPERATOR}

    @extend_schema(request=ReceiptReplaySerializer, responses={201: ReceiptReplaySerializer})
    def create(self, request: Request) -> Response:
        """Plan a replay: `plan` says what it would come to. Nothing is processed yet."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        replay = replays.plan_replay(replays.Selection(account=account, **fields))
        return Response(self.get_serializer(replay).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=ReceiptReplaySerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Carry out a planned replay, or go on with one that failed."""
        return Response(self.get_serializer(replays.start_replay(self.get_object())).data)

    @extend_schema(request=None, responses=ReceiptReplaySerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Put no more receipts in line."""
        return Response(self.get_serializer(replays.cancel_replay(self.get_object())).data)
