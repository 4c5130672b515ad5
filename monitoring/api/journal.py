from __future__ import annotations

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.activity_kinds import KINDS
from monitoring.audit_files import FORMATS, export_audit_log
from monitoring.models import Activity, AuditAnchor, AuditEntry
from webhooks_project.accounts.models import Account, Role
from webhooks_project.api.filters import FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet


class ActivitySerializer(serializers.ModelSerializer[Activity]):
    """What the hub did, for people to read. A line that counts says how often it happened in its
    hour, and has the text of the last time."""

    class Meta:
        model = Activity
        fields = (
            "id", "account", "kind", "text", "object_type", "object_id", "count", "created_at",
            "last_at",
        )  # fmt: skip


class ActivityKindSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    meaning = serializers.CharField()


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """Who changed what. `hash` covers the entry and the hash before it."""

    class Meta:
        model = AuditEntry
        fields = (
            "id", "account", "sequence", "created_at", "actor_kind", "actor_id", "actor_label",
            "actor_address", "actor_session", "actor_agent", "action", "object_type", "object_id",
            "before", "after", "previous_hash", "hash", "format",
        )  # fmt: skip


class AuditAnchorSerializer(serializers.ModelSerializer[AuditAnchor]):
    """The head of an account's audit log on a day. Keep `account:sequence:head_hash` elsewhere:
    with it can be told later whether the log up to there is still what it was."""

    class Meta:
        model = AuditAnchor
        fields = (
            "id", "account", "number", "sequence", "head_hash", "created_at", "previous_hash",
            "hash",
        )  # fmt: skip


class ExportSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(required=False, help_text="Inclusive.")
    until = serializers.DateTimeField(required=False, help_text="Exclusive.")

    def get_fields(self) -> dict[str, Any]:
        return {
            **super().get_fields(),
            "as": serializers.ChoiceField(list(FORMATS), default="jsonl"),
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "since" in attrs and "until" in attrs and attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": ["until comes after since"]})
        return attrs


class ActivityFilter(FilterSet):
    kind_prefix = filters.CharFilter(field_name="kind", lookup_expr="startswith")
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")
    search = filters.CharFilter(
        field_name="text", lookup_expr="icontains", help_text="In the text."
    )

    class Meta:
        model = Activity
        fields = ("account", "kind", "object_type", "object_id")


class AuditEntryFilter(FilterSet):
    action_prefix = filters.CharFilter(field_name="action", lookup_expr="startswith")
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = AuditEntry
        fields = (
            "account", "action", "object_type", "object_id", "actor_kind", "actor_id",
            "actor_session",
        )  # fmt: skip


class ActivityViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What the hub did."""

    queryset = Activity.objects.all()
    serializer_class = ActivitySerializer
    filterset_class = ActivityFilter

    @extend_schema(responses=ActivityKindSerializer(many=True), filters=False)
    @action(detail=False, pagination_class=None)
    def kinds(self, request: Request) -> Response:
        """Every kind, and what it means."""
        return Response([{"kind": kind, "meaning": text} for kind, text in KINDS.items()])


class AuditEntryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Who changed what."""

    queryset = AuditEntry.objects.all()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditEntryFilter
    roles: ClassVar = {"list": Role.ADMIN, "retrieve": Role.ADMIN}


class AuditLogViewSet(AccountScopedViewSet):
    """An account's audit log as a file."""

    account_path = "pk"
    queryset = Account.objects.all()
    serializer_class = ExportSerializer
    roles: ClassVar = {"export": Role.ADMIN}

    @extend_schema(
        operation_id="audit_log_export",
        parameters=[ExportSerializer],
        responses={
            (200, "application/jsonl"): OpenApiTypes.STR,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def export(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The entries of a period with their proof. That it was asked for is in the log too."""
        asked = ExportSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        options = asked.validated_data
        exported = export_audit_log(
            account=self.get_object(),
            since=options.get("since"),
            until=options.get("until"),
            file_format=options["as"],
        )
        return exported.as_response()


class AuditAnchorViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """The heads that were given out of the accounts' audit logs."""

    queryset = AuditAnchor.objects.all()
    serializer_class = AuditAnchorSerializer
    filterset_fields = ("account",)
    ordering = "-number"
    roles: ClassVar = {"list": Role.ADMIN}
