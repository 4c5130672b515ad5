from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incoming import services
from incoming.api.serializers import (
    CreateSourceSerializer,
    NewSourceSerializer,
    ReceiptSerializer,
    ReceiptWithBodySerializer,
    RefusalCountSerializer,
    RotateSecretSerializer,
    SourceSerializer,
)
from incoming.models import Receipt, RefusalCount, Source
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import FilterSet
from webhooks_project.api.scoping import AccountScopedViewSet, account_for_create


class SourceViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Who may send to us."""

    queryset = Source.objects.prefetch_related("secrets", "routes")
    serializer_class = SourceSerializer
    filterset_fields = ("account", "provider")
    roles: ClassVar = {"enable": Role.OPERATOR, "disable": Role.OPERATOR}

    @extend_schema(request=CreateSourceSerializer, responses={201: NewSourceSerializer})
    def create(self, request: Request) -> Response:
        """Make a source. Its secret is in this answer and never again."""
        serializer = CreateSourceSerializer(
            data=request.data, context=self.get_serializer_context()
        )
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        made = services.create_source(account=account, **fields)
        body = self.get_serializer(made.source).data | {"secret": made.secret}
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=SourceSerializer(partial=True), responses=SourceSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields; a source's provider and account stay."""
        source = self.get_object()
        serializer = self.get_serializer(source, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        for name in ("account", "provider"):
            if fields.pop(name, getattr(source, name)) != getattr(source, name):
                raise serializers.ValidationError({name: [f"a source's {name} stays"]})
        services.change_source(source=source, **fields)
        return self._current()

    @extend_schema(request=None, responses=SourceSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        """Take calls again."""
        services.set_source_enabled(source=self.get_object(), enabled=True)
        return self._current()

    @extend_schema(request=None, responses=SourceSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """Refuse every call with `source_disabled`."""
        services.set_source_enabled(source=self.get_object(), enabled=False)
        return self._current()

    @extend_schema(request=RotateSecretSerializer, responses=NewSourceSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """Take a new secret, shown here once; the old one counts too for 24 hours."""
        serializer = RotateSecretSerializer(data=request.data or {})
        serializer.is_valid(raise_exception=True)
        made = services.rotate_source_secret(
            source=self.get_object(), secret=serializer.validated_data.get("secret")
        )
        body = self.get_serializer(self.get_object()).data | {"secret": made.secret}
        return Response(body)

    @extend_schema(request=None, responses=SourceSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-token")
    def rotate_token(self, request: Request, pk: str) -> Response:
        """Give it another ingest URL; the old one is unknown from now on."""
        services.rotate_token(source=self.get_object())
        return self._current()

    def _current(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


class ReceiptFilter(FilterSet):
    since = filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="received_at", lookup_expr="lt")

    class Meta:
        model = Receipt
        fields = ("account", "source", "status", "cause", "type", "external_id", "request_id")


class ReceiptViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The calls we received."""

    queryset = Receipt.objects.all()
    filterset_class = ReceiptFilter
    ordering = "-received_at"
    roles: ClassVar = {"reprocess": Role.OPERATOR}

    def get_serializer_class(self) -> Any:
        return ReceiptSerializer if self.action == "list" else ReceiptWithBodySerializer

    def get_queryset(self) -> QuerySet[Receipt]:
        queryset = super().get_queryset()
        if self.action == "list":
            return queryset.defer("body", "headers")
        return queryset.select_related("source").prefetch_related("source__secrets")

    @extend_schema(request=None, responses=ReceiptWithBodySerializer)
    @action(detail=True, methods=["post"])
    def reprocess(self, request: Request, pk: str) -> Response:
        """Process a failed or dead receipt again; it is not verified anew."""
        services.reprocess_receipt(receipt=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)


class RefusalCountViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """Refused calls, counted by source, hour and cause."""

    queryset = RefusalCount.objects.all()
    serializer_class = RefusalCountSerializer
    filterset_fields = ("account", "source", "cause")
    ordering = ("-hour", "id")
