from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import Prefetch
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.models import Dashboard, Report, ReportFile, ReportRun
from analytics.reports import services
from analytics.reports.downloads import download
from analytics.spans import own_period
from webhooks_project.accounts.models import Role, User
from webhooks_project.api.filters import FilterSet
from webhooks_project.api.scoping import (
    AccountField,
    AccountScopedViewSet,
    account_for_create,
    scoped,
)


class ReportSerializer(serializers.ModelSerializer[Report]):
    """What is reported of an account: a dashboard, or a `subject` that the hub knows; daily, weekly
    or monthly, at an hour of its time zone, to addresses and roles. What is not enabled is made on
    demand alone."""

    account = AccountField()
    formats = serializers.ListField(child=serializers.CharField(max_length=8), allow_empty=False)
    recipients = serializers.ListField(child=serializers.CharField(max_length=254), required=False)

    class Meta:
        model = Report
        fields = (
            "id", "account", *services.FIELDS, "next_run_at", "created_at",
        )  # fmt: skip
        extra_kwargs: ClassVar = {"hour": {"min_value": 0, "max_value": 23}}

    def get_fields(self) -> Any:
        fields = super().get_fields()
        request = self.context.get("request")
        if request is not None:
            # Of another account's dashboard nothing is said but that there is none.
            mine: Any = scoped(Dashboard.objects.all(), request, "account_id")
            chosen: Any = fields["dashboard"]
            chosen.queryset = mine.seen_by(request.user.pk)
        return fields


class RunSerializer(serializers.Serializer[Any]):
    """Whether it also goes to the recipients, and of which period: by default of the last whole
    one."""

    is_sent = serializers.BooleanField(default=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("since" in attrs) != ("until" in attrs):
            missing = "until" if "since" in attrs else "since"
            raise serializers.ValidationError({missing: ["since and until come together"]})
        return attrs


class ReportFileSerializer(serializers.ModelSerializer[ReportFile]):
    class Meta:
        model = ReportFile
        fields = ("format", "name", "size_bytes")


class ReportRunSerializer(serializers.ModelSerializer[ReportRun]):
    """A report of one period. Its files are kept for some weeks."""

    files = ReportFileSerializer(many=True, read_only=True)

    class Meta:
        model = ReportRun
        fields = (
            "id", "account", "report", "trigger", "status", "since", "until", "is_sent",
            "requested_by", "attempt_count", "error", "created_at", "started_at", "finished_at",
            "files",
        )  # fmt: skip


class ReportFilter(FilterSet):
    class Meta:
        model = Report
        fields = ("account", "dashboard", "enabled")


class ReportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Figures of a period as mails and files."""

    queryset = Report.objects.all()
    serializer_class = ReportSerializer
    filterset_class = ReportFilter
    lookup_value_regex = "[0-9a-f-]{36}"
    ordering = ("name", "id")
    roles: ClassVar = {"run": Role.DEVELOPER, "run_now": Role.DEVELOPER}

    def get_queryset(self) -> Any:
        found: Any = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return found
        return found.seen_by(self.request.user.pk)

    def create(self, request: Request) -> Response:
        """Make a report. Where it is enabled it is made at its next hour."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        account = account_for_create(self, fields.pop("account", None))
        owner = request.user if isinstance(request.user, User) else None
        made = services.create_report(account=account, owner=owner, **fields)
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=ReportSerializer(partial=True), responses=ReportSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change the given fields."""
        report = self.get_object()
        serializer = self.get_serializer(report, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        if fields.pop("account", report.account) != report.account:
            raise serializers.ValidationError({"account": ["a report stays in its account"]})
        services.change_report(report=report, **fields)
        return Response(self.get_serializer(self.get_object()).data)

    def destroy(self, request: Request, pk: str) -> Response:
        """Delete it, with its runs and their files."""
        services.delete_report(report=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=RunSerializer, responses={201: ReportRunSerializer})
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str) -> Response:
        """Have it made soon: look at the run until it is finished, then fetch its files."""
        report = self.get_object()
        serializer = RunSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        period = (
            own_period(asked["since"], asked["until"], time_zone=report.time_zone)
            if "since" in asked
            else None
        )
        made = services.request_run(report=report, is_sent=asked["is_sent"], period=period)
        return Response(ReportRunSerializer(made).data, status=status.HTTP_201_CREATED)


class ReportRunFilter(FilterSet):
    class Meta:
        model = ReportRun
        fields = ("account", "report", "status", "trigger")


class ReportRunViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Each time that a report was made."""

    # A file's content is read when it is fetched.
    queryset = ReportRun.objects.prefetch_related(
        Prefetch("files", ReportFile.objects.defer("content"))
    )
    serializer_class = ReportRunSerializer
    filterset_class = ReportRunFilter
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar[dict[str, Role]] = {}

    def get_queryset(self) -> Any:
        found: Any = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return found
        return found.seen_by(self.request.user.pk)

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(
        detail=True, methods=["get"], url_path="files/(?P<file_format>[a-z]{1,8})",
        pagination_class=None, filterset_class=None,
    )  # fmt: skip
    def file(self, request: Request, pk: str, file_format: str) -> HttpResponse:
        """The run's file in one format."""
        found = self.get_object().files.filter(format=file_format).first()
        if found is None:
            raise NotFound("the run has no such file, or it is kept no longer")
        return download(found)
