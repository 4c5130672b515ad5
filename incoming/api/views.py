from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from incoming import services
from incoming.api.serializers import (
    CreateSourceSerializer,
    GraceSerializer,
    LearnedSecretSerializer,
    NewSourceSerializer,
    ReceiptSerializer,
    ReceiptWithBodySerializer,
    RefusalCountSerializer,
    RotateSecretSerializer,
    RunInListSerializer,
    RunSerializer,
    SampleResultSerializer,
    SampleSerializer,
    SourceSerializer,
)
from incoming.models import HandlerRun, Receipt, RefusalCount, Source
from incoming.samples import send_sample
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import BooleanFilter, FilterSet, MomentFilter, PresenceFilter
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

    @extend_schema(request=SampleSerializer, responses=SampleResultSerializer)
    @action(detail=True, methods=["post"], url_path="send-sample")
    def send_sample(self, request: Request, pk: str) -> Response:
        """Send a signed call as the provider would make it, through the real door."""
        serializer = SampleSerializer(data=request.data or {})
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        body = given.get("body")
        result = send_sample(
            source=self.get_object(), type_=given["type"], body=body.encode() if body else None
        )
        return Response(SampleResultSerializer(result).data)

    @extend_schema(request=RotateSecretSerializer, responses=NewSourceSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, pk: str) -> Response:
        """Take a new secret, shown here once; the old one counts too for the grace."""
        serializer = RotateSecretSerializer(data=request.data or {})
        serializer.is_valid(raise_exception=True)
        given = serializer.validated_data
        made = services.rotate_source_secret(
            source=self.get_object(),
            secret=given.get("secret"),
            grace=timedelta(seconds=given["grace_seconds"]),
        )
        body = self.get_serializer(self.get_object()).data | {"secret": made.secret}
        return Response(body)

    @extend_schema(request=GraceSerializer, responses=SourceSerializer)
    @action(detail=True, methods=["post"], url_path="rotate-token")
    def rotate_token(self, request: Request, pk: str) -> Response:
        """Give it another ingest URL; the old one counts too for the grace."""
        serializer = GraceSerializer(data=request.data or {})
        serializer.is_valid(raise_exception=True)
        grace = timedelta(seconds=serializer.validated_data["grace_seconds"])
        services.rotate_token(source=self.get_object(), grace=grace)
        return self._current()

    @extend_schema(request=None, responses=LearnedSecretSerializer)
    @action(detail=True, methods=["post"], url_path="learned-secret")
    def learned_secret(self, request: Request, pk: str) -> Response:
        """Show the secret that the provider told, so that it can be entered there: once."""
        return Response({"secret": services.show_learned_secret(source=self.get_object())})

    def _current(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


class ReceiptFilter(FilterSet):
    since = MomentFilter(field_name="received_at", lookup_expr="gte")
    until = MomentFilter(field_name="received_at", lookup_expr="lt")
    unmatched = BooleanFilter(
        method="by_match", help_text="Whether it was processed and no route took it."
    )
    quarantined = PresenceFilter(
        field_name="quarantined_at",
        help_text="Whether it waits for a person, because it does not fit its source's schema.",
    )
    same_body = PresenceFilter(
        field_name="same_body_as",
        help_text="Whether an earlier receipt with another id has the same body.",
    )

    class Meta:
        model = Receipt
        fields = (
            "account", "source", "status", "cause", "type", "external_id", "request_id", "replay",
        )  # fmt: skip

    def by_match(self, queryset: QuerySet[Receipt], name: str, value: bool) -> QuerySet[Receipt]:
        unmatched = {"status": Receipt.Status.PROCESSED, "action_count": 0}
        return queryset.filter(**unmatched) if value else queryset.exclude(**unmatched)


class ReceiptViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """The calls we received."""

    queryset = Receipt.objects.all()
    filterset_class = ReceiptFilter
    ordering = "-received_at"
    roles: ClassVar = {
        "reprocess": Role.OPERATOR,
        "release": Role.OPERATOR,
        "drop": Role.OPERATOR,
        "discard": Role.OPERATOR,  # its view: incoming/api/dead_letters.py
    }

    def get_serializer_class(self) -> Any:
        return ReceiptSerializer if self.action == "list" else ReceiptWithBodySerializer

    def get_queryset(self) -> QuerySet[Receipt]:
        queryset = super().get_queryset()
        if self.action == "list":
            return queryset.defer("body", "headers")
        return queryset.select_related("source").prefetch_related("source__secrets", "runs")

    @extend_schema(request=None, responses=ReceiptWithBodySerializer)
    @action(detail=True, methods=["post"])
    def reprocess(self, request: Request, pk: str) -> Response:
        """Process a failed or dead receipt again; it is not verified anew."""
        services.reprocess_receipt(receipt=self.get_object())
        return self._current()

    @extend_schema(request=None, responses=ReceiptWithBodySerializer)
    @action(detail=True, methods=["post"])
    def release(self, request: Request, pk: str) -> Response:
        """Process a quarantined receipt after all."""
        services.release_quarantined(receipt=self.get_object())
        return self._current()

    @extend_schema(request=None, responses=ReceiptWithBodySerializer)
    @action(detail=True, methods=["post"])
    def drop(self, request: Request, pk: str) -> Response:
        """Refuse a quarantined receipt: it is kept, and nothing follows."""
        services.drop_quarantined(receipt=self.get_object())
        return self._current()

    def _current(self) -> Response:
        return Response(self.get_serializer(self.get_object()).data)


class RunFilter(FilterSet):
    since = MomentFilter(field_name="created_at", lookup_expr="gte")
    until = MomentFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = HandlerRun
        fields = ("account", "source", "receipt", "handler", "status", "cause")


class RunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """What the platform's handlers did with receipts."""

    queryset = HandlerRun.objects.all()
    filterset_class = RunFilter
    roles: ClassVar = {"rerun": Role.OPERATOR}

    def get_serializer_class(self) -> Any:
        return RunInListSerializer if self.action == "list" else RunSerializer

    def get_queryset(self) -> QuerySet[HandlerRun]:
        queryset = super().get_queryset()
        return queryset.defer("error") if self.action == "list" else queryset

    @extend_schema(request=None, responses=RunSerializer)
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, pk: str) -> Response:
        """Run a dead or failed one again; the receipt's other handlers are left alone."""
        services.rerun(run=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)


class RefusalCountViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """Refused calls, counted by source, hour and cause."""

    queryset = RefusalCount.objects.all()
    serializer_class = RefusalCountSerializer
    filterset_fields = ("account", "source", "cause")
    ordering = ("-hour", "id")
