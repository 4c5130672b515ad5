from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from subscriptions import event_types
from subscriptions.models import EventSchema, EventType
from subscriptions.schemas import check_payload
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create


class EventSchemaSerializer(serializers.ModelSerializer[EventSchema]):
    class Meta:
        model = EventSchema
        fields: ClassVar[tuple[str, ...]] = ("id", "version", "schema", "examples", "created_at")
        read_only_fields = ("version",)

    def validate_schema(self, schema: Any) -> Any:
        try:
            check_payload(schema, None)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return schema


class EventTypeSerializer(serializers.ModelSerializer[EventType]):
    """A catalogue entry such as invoice.paid."""

    account = AccountField()
    schemas = EventSchemaSerializer(many=True, read_only=True)

    class Meta:
        model = EventType
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "account",
            "name",
            "description",
            "schema_mode",
            "created_at",
            "schemas",
        )
        # The service says what is taken; the library's own check would ask for the account.
        validators: ClassVar[list[Any]] = []


class EventTypeViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    AccountScopedViewSet,
):
    """The catalogue: what may be heard, and what it looks like."""

    queryset = EventType.objects.prefetch_related("schemas")
    serializer_class = EventTypeSerializer
    filterset_fields = ("account", "name")
    ordering = "name"
    http_method_names = [  # noqa: RUF012 - as its base class declares it
        "get",
        "post",
        "patch",
        "delete",
        "head",
        "options",
    ]

    def perform_create(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        serializer.instance = event_types.create_event_type(account=account, **fields)

    def perform_update(self, serializer: Any) -> None:
        fields = dict(serializer.validated_data)
        if fields.pop("account", serializer.instance.account) != serializer.instance.account:
            raise serializers.ValidationError({"account": ["an event type stays in its account"]})
        event_types.change_event_type(event_type=serializer.instance, **fields)

    def perform_destroy(self, instance: EventType) -> None:
        event_types.delete_event_type(event_type=instance)

    @extend_schema(request=EventSchemaSerializer, responses={201: EventSchemaSerializer})
    @action(detail=True, methods=["post"])
    def schemas(self, request: Request, pk: str) -> Response:
        """Add the next version of the type's schema; it is in force from now on."""
        event_type = self.get_object()
        serializer = EventSchemaSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        schema = event_types.add_schema(event_type=event_type, **serializer.validated_data)
        return Response(EventSchemaSerializer(schema).data, status=status.HTTP_201_CREATED)
