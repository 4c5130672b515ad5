from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Prefetch, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from subscriptions import event_types
from subscriptions.documents import File, read_files
from subscriptions.errors import SchemaNotValid, SuccessorNotAcceptable
from subscriptions.exports import openapi_of
from subscriptions.imports import import_event_types, plan_import
from subscriptions.models import EventSchema, EventType
from webhooks_project.accounts.models import Account
from webhooks_project.api.filters import FilterSet
from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create

MAX_FILES = 500  # of one import


class EventSchemaInListSerializer(serializers.ModelSerializer[EventSchema]):
    number = serializers.CharField(read_only=True, help_text="`major.minor`")

    class Meta:
        model = EventSchema
        fields: ClassVar[tuple[str, ...]] = ("id", "version", "number", "created_at")


class EventSchemaSerializer(EventSchemaInListSerializer):
    class Meta:
        model = EventSchema
        fields: ClassVar[tuple[str, ...]] = (
            "id", "version", "number", "schema", "examples", "downgrade", "created_at",
        )  # fmt: skip


class NewSchemaSerializer(serializers.Serializer[Any]):
    """A new version. `major` makes it the next major version, which may break readers;
    `allow_breaking` lets a minor one break them."""

    schema = serializers.JSONField(help_text="JSON Schema, draft 2020-12.")
    examples = serializers.ListField(child=serializers.JSONField(), required=False)
    downgrade = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=65_536,
        help_text="JSONata that makes its data into that of the major version before it.",
    )
    major = serializers.BooleanField(required=False)
    allow_breaking = serializers.BooleanField(required=False)

    def validate_schema(self, schema: Any) -> Any:
        try:
            event_types.check_schema(schema)
        except SchemaNotValid as error:
            raise serializers.ValidationError(str(error)) from error
        return schema


class ChangeSerializer(serializers.Serializer[Any]):
    """A change that breaks somebody: readers or writers."""

    path = serializers.CharField(
        allow_blank=True, help_text="A pointer into the data's shape; `*` is any item or name."
    )
    kind = serializers.CharField(help_text="Such as removed_property, retyped, new_required.")
    detail = serializers.CharField()
    breaks = serializers.CharField(help_text="Whom first: readers or writers.")


class SchemaCheckSerializer(serializers.Serializer[Any]):
    """What adding the schema with the same words would do."""

    number = serializers.CharField(help_text="`major.minor` of the version that it would be.")
    changes = ChangeSerializer(many=True)
    is_allowed = serializers.BooleanField()


class EventTypeSerializer(serializers.ModelSerializer[EventType]):
    """A catalogue entry such as invoice.paid."""

    account = AccountField()
    successor = serializers.CharField(
        source="successor.name", default=None, read_only=True, help_text="The type to use instead."
    )
    schemas = EventSchemaSerializer(many=True, read_only=True)

    class Meta:
        model = EventType
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "name", "description", "group", "owner", "is_public", "schema_mode",
            "deprecated_at", "successor", "archived_at", "created_at", "schemas",
        )  # fmt: skip
        read_only_fields = ("deprecated_at", "archived_at")
        # The service says what is taken; the library's own check would ask for the account.
        validators: ClassVar[list[Any]] = []


class EventTypeInListSerializer(EventTypeSerializer):
    """A catalogue entry, its schemas by their numbers alone."""

    schemas = EventSchemaInListSerializer(many=True, read_only=True)  # type: ignore[assignment]


class DeprecateSerializer(serializers.Serializer[Any]):
    successor = serializers.CharField(
        required=False, allow_null=True, help_text="The name of the type to use instead."
    )


class DocumentSerializer(serializers.Serializer[Any]):
    """A JSON Schema or OpenAPI document, as JSON or YAML."""

    name = serializers.CharField(
        max_length=1024, help_text="The file's name; it names the type of a plain JSON Schema."
    )
    content = serializers.CharField(trim_whitespace=False)


class ImportSerializer(serializers.Serializer[Any]):
    documents = DocumentSerializer(many=True, allow_empty=False)
    dry_run = serializers.BooleanField(default=True, help_text="Say what would be done, only.")
    major = serializers.BooleanField(default=False, help_text="What breaks is a major version.")
    allow_breaking = serializers.BooleanField(default=False)
    best_effort = serializers.BooleanField(
        default=False, help_text="Leave out what cannot be imported; else nothing is, then."
    )

    def validate_documents(self, documents: list[Any]) -> list[Any]:
        if len(documents) > MAX_FILES:
            raise serializers.ValidationError(f"at most {MAX_FILES} at once", code="max_length")
        return documents


class ImportLineSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    where = serializers.CharField(help_text="The document and the place in it.")
    outcome = serializers.CharField(
        help_text="created, changed, unchanged, broken (it needs a word) or refused."
    )
    version = serializers.CharField(allow_blank=True, help_text="Of the schema that is added.")
    changed_fields = serializers.ListField(
        child=serializers.CharField(), help_text="What else changes."
    )
    changes = ChangeSerializer(many=True)
    example_count = serializers.IntegerField()
    example_problems = serializers.ListField(child=serializers.CharField())
    problem = serializers.CharField(allow_blank=True)


class ImportedSerializer(serializers.Serializer[Any]):
    is_done = serializers.BooleanField(help_text="False for a dry run.")
    counts = serializers.DictField(child=serializers.IntegerField())
    lines = ImportLineSerializer(many=True)


class EventTypeFilter(FilterSet):
    class Meta:
        model = EventType
        fields = ("account", "name", "group", "is_public", "schema_mode")


class EventTypeViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    AccountScopedViewSet,
):
    """The catalogue: what may be heard, and what it looks like."""

    queryset = EventType.objects.select_related("successor")
    filterset_class = EventTypeFilter
    ordering = "name"
    http_method_names = [  # noqa: RUF012 - as its base class declares it
        "get",
        "post",
        "patch",
        "delete",
        "head",
        "options",
    ]

    def get_serializer_class(self) -> Any:
        return EventTypeInListSerializer if self.action == "list" else EventTypeSerializer

    def get_queryset(self) -> QuerySet[EventType]:
        schemas = EventSchema.objects.all()
        if self.action == "list":
            schemas = schemas.defer("schema", "examples", "downgrade")
        queryset: QuerySet[EventType] = super().get_queryset()
        return queryset.prefetch_related(Prefetch("schemas", schemas))

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

    @extend_schema(request=NewSchemaSerializer, responses={201: EventSchemaSerializer})
    @action(detail=True, methods=["post"])
    def schemas(self, request: Request, pk: str) -> Response:
        """Add the next version of the type's schema; it is in force from now on.

        One that breaks readers or writers is refused with `schema_breaks_readers` and the changes,
        unless it is a major version or breaking is allowed.
        """
        event_type = self.get_object()
        schema = event_types.add_schema(
            event_type=event_type, **_given(NewSchemaSerializer, request)
        )
        return Response(EventSchemaSerializer(schema).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=NewSchemaSerializer, responses=SchemaCheckSerializer)
    @action(detail=True, methods=["post"], url_path="schemas/check", url_name="check-schema")
    def check_schema(self, request: Request, pk: str) -> Response:
        """Say what adding the schema would do and break; nothing is added."""
        event_type = self.get_object()
        check = event_types.check_new_schema(
            event_type=event_type, **_given(NewSchemaSerializer, request)
        )
        return Response(SchemaCheckSerializer(check).data)

    @extend_schema(request=DeprecateSerializer, responses=EventTypeSerializer)
    @action(detail=True, methods=["post"])
    def deprecate(self, request: Request, pk: str) -> Response:
        """Ask for another type to be used, or none: each publishing is answered with a warning."""
        event_type = self.get_object()
        name = _given(DeprecateSerializer, request).get("successor")
        successor = None
        if name:
            successor = EventType.objects.filter(account=event_type.account, name=name).first()
            if successor is None:
                raise SuccessorNotAcceptable(f"there is no event type {name[:128]}")
        event_types.deprecate_event_type(event_type=event_type, successor=successor)
        return self._current()

    @extend_schema(request=None, responses=EventTypeSerializer)
    @action(detail=True, methods=["post"])
    def archive(self, request: Request, pk: str) -> Response:
        """Refuse events and schemas of the type from now on; its history stays."""
        event_types.archive_event_type(event_type=self.get_object())
        return self._current()

    @extend_schema(request=None, responses=EventTypeSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Make a deprecated or archived type one like any other again."""
        event_types.restore_event_type(event_type=self.get_object())
        return self._current()

    def _current(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


class CatalogueViewSet(AccountScopedViewSet):
    """An account's whole catalogue, in and out."""

    account_path = "pk"
    queryset = Account.objects.all()
    serializer_class = ImportSerializer

    @extend_schema(
        operation_id="event_types_export",
        responses={200: OpenApiTypes.OBJECT},
        parameters=[OpenApiParameter("public", bool, description="Only what is public.")],
    )
    def export(self, request: Request, pk: str) -> Response:
        """The catalogue as an OpenAPI 3.1 document, with a webhook for each type."""
        public_only = request.query_params.get("public", "").lower() in ("true", "1")
        return Response(openapi_of(self.get_object(), public_only=public_only))

    @extend_schema(
        operation_id="event_types_import", request=ImportSerializer, responses=ImportedSerializer
    )
    def import_types(self, request: Request, pk: str) -> Response:
        """Import event types from JSON Schema or OpenAPI documents; by default a dry run.

        All or nothing: where one cannot be imported, none is, and `import_not_acceptable` comes
        with the lines.
        """
        account = self.get_object()
        given = _given(ImportSerializer, request)
        described = read_files(
            File(item["name"], item["content"].encode()) for item in given.pop("documents")
        )
        best_effort = given.pop("best_effort")
        if given.pop("dry_run"):
            done = plan_import(account=account, described=described, **given)
        else:
            done = import_event_types(
                account=account, described=described, best_effort=best_effort, **given
            )
        return Response(ImportedSerializer(done).data)


def _given(form: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = form(data=request.data or {})
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
