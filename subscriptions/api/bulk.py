from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import IO, Any, ClassVar, Final
from uuid import UUID

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from subscriptions.acceptable import MAX_FACTS
from subscriptions.api.subscriptions import SubscriptionFilter, SubscriptionViewSet
from subscriptions.bulk import jobs, planning
from subscriptions.bulk.files import MAX_FILE_BYTES, MAX_LINES, written_csv, written_json
from subscriptions.bulk.models import BulkJob, BulkLine
from subscriptions.bulk.results import written_results
from subscriptions.bulk.selection import Selection
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Role
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.rendering import BodyTooLarge, OwnFormat
from webhooks_project.api.scoping import (
    AccountField,
    AccountScopedViewSet,
    account_for_create,
    scoped,
)

Action = BulkJob.Action

MAX_GRACE_SECONDS: Final = 7 * 24 * 3600


class SelectionSerializer(serializers.Serializer[Any]):
    """Subscriptions with all of these marks; archived ones only where `statuses` says so."""

    statuses = serializers.ListField(
        child=serializers.ChoiceField(Subscription.Status.choices), required=False
    )
    labels = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    metadata = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)
    event_type = serializers.CharField(required=False, help_text="Exactly as it is subscribed.")
    url_contains = serializers.CharField(required=False)
    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=MAX_LINES)


class BulkSettingsSerializer(serializers.Serializer[Any]):
    """`reason` is for pause, disable and archive, `grace_seconds` for rotate, the rest for move."""

    reason = serializers.CharField(required=False, max_length=200)
    grace_seconds = serializers.IntegerField(
        required=False, min_value=0, max_value=MAX_GRACE_SECONDS
    )
    url_from = serializers.CharField(
        required=False, max_length=2048, help_text="The beginning of the URLs that move."
    )
    url_to = serializers.CharField(required=False, max_length=2048)
    keep_credentials = serializers.BooleanField(
        required=False,
        help_text="True: another host may be sent the credentials that there are.",
    )
    labels = serializers.DictField(
        child=serializers.CharField(allow_null=True, allow_blank=True),
        required=False,
        help_text="Labels to set; null takes one away.",
    )
    channels_add = serializers.ListField(child=serializers.CharField(), required=False)
    channels_remove = serializers.ListField(child=serializers.CharField(), required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("url_from" in attrs) != ("url_to" in attrs):
            raise serializers.ValidationError({"url_to": ["url_from and url_to go together"]})
        if len(attrs.get("labels", {})) > MAX_FACTS:
            raise serializers.ValidationError({"labels": [f"at most {MAX_FACTS} are taken"]})
        return attrs


class BulkJobSerializer(serializers.ModelSerializer[BulkJob]):
    """Something done to many subscriptions, as a job."""

    account = AccountField()
    filter = SelectionSerializer(source="selection")
    settings = BulkSettingsSerializer(required=False)
    dry_run = serializers.BooleanField(source="is_dry_run", required=False)
    all_or_nothing = serializers.BooleanField(source="is_all_or_nothing", required=False)
    requested_by = serializers.CharField(read_only=True)
    done_count = serializers.IntegerField(read_only=True)

    class Meta:
        model = BulkJob
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "action", "filter", "settings", "dry_run", "all_or_nothing", "status",
            "line_count", "done_count", "created_count", "changed_count", "unchanged_count",
            "refused_count", "error", "requested_by", "secrets_until", "created_at", "started_at",
            "finished_at",
        )  # fmt: skip
        read_only_fields = (
            "status", "line_count", "created_count", "changed_count", "unchanged_count",
            "refused_count", "error", "secrets_until", "created_at", "started_at", "finished_at",
        )  # fmt: skip

    def validate_action(self, value: str) -> str:
        if value == Action.IMPORT:
            raise serializers.ValidationError("an import takes a file, at subscriptions/import")
        return value

    def to_representation(self, job: BulkJob) -> dict[str, Any]:
        return {
            **super().to_representation(job),
            "filter": job.selection,
            "settings": job.settings,
        }


class BulkLineSerializer(serializers.ModelSerializer[BulkLine]):
    """What became of one line: pending is that nothing was done. `changes` are [before, after] by
    field."""

    class Meta:
        model = BulkLine
        fields: ClassVar[tuple[str, ...]] = (
            "number", "subscription", "outcome", "changes", "problems",
        )  # fmt: skip


class NewSecretSerializer(serializers.Serializer[Any]):
    number = serializers.IntegerField()
    subscription = serializers.UUIDField()
    secret = serializers.CharField()


class ImportOptionsSerializer(serializers.Serializer[Any]):
    account = AccountField()
    dry_run = serializers.BooleanField(default=False)
    all_or_nothing = serializers.BooleanField(default=False)


class ExportOptionsSerializer(serializers.Serializer[Any]):
    as_ = serializers.ChoiceField(["json", "csv"], required=False)
    format = serializers.ChoiceField(["json", "csv"], required=False, help_text="The same as `as`.")

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {"as": fields["as_"], "format": fields["format"]}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if len({*attrs.values()}) > 1:
            raise serializers.ValidationError({"format": ["as says otherwise"]})
        return {"as": next(iter(attrs.values()), "json")}


class _FileParser(BaseParser):
    """The body as it is: the file is read by what it is about."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body: bytes = stream.read(MAX_FILE_BYTES + 1)
        if len(body) > MAX_FILE_BYTES:
            raise BodyTooLarge
        return body


class JsonFileParser(_FileParser):
    media_type = "application/json"


class CsvFileParser(_FileParser):
    media_type = "text/csv"


class BulkJobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Jobs over many subscriptions."""

    queryset = BulkJob.objects.all()
    serializer_class = BulkJobSerializer
    filterset_fields = ("account", "status", "action")
    ordering: ClassVar[Any] = "-created_at"

    @extend_schema(request=BulkJobSerializer, responses={201: BulkJobSerializer})
    def create(self, request: Request) -> Response:
        """Do something to the subscriptions that the filter selects now, or with `dry_run` show
        what that would do."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        account = account_for_create(self, asked.get("account"))
        _check_role(request, account.pk, asked["action"])
        job = planning.plan_action(
            account=account,
            action=Action(asked["action"]),
            selection=Selection.of(asked["selection"]),
            settings=dict(asked.get("settings", {})),
            is_dry_run=asked.get("is_dry_run", False),
            is_all_or_nothing=asked.get("is_all_or_nothing", False),
        )
        return Response(self.get_serializer(job).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=BulkJobSerializer)
    @action(detail=True, methods=["post"])
    def start(self, request: Request, pk: str) -> Response:
        """Do what a dry run showed, or go on with a job that failed."""
        return Response(self.get_serializer(jobs.start_job(self._own())).data)

    @extend_schema(request=None, responses=BulkJobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Do no more lines; those that are done stay done."""
        return Response(self.get_serializer(jobs.cancel_job(self._own())).data)

    @extend_schema(responses=BulkLineSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_fields=(), ordering="number")
    def lines(self, request: Request, pk: str) -> Response:
        """What becomes, or would become, of each line."""
        page = self.paginate_queryset(self.get_object().lines.all())
        return self.get_paginated_response(BulkLineSerializer(page, many=True).data)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.STR})
    @action(detail=True, methods=["get"])
    def results(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The same as a CSV file."""
        job = self.get_object()
        return _file(written_results(job), "text/csv", f"bulk-job-{job.pk}.csv")

    @extend_schema(request=None, responses=NewSecretSerializer(many=True))
    @action(detail=True, methods=["post"])
    def secrets(self, request: Request, pk: str) -> Response:
        """The signing secrets that it made since the last call: here, and never again."""
        return Response(
            [
                {"number": item.number, "subscription": item.subscription_id, "secret": item.secret}
                for item in jobs.take_secrets(self._own())
            ]
        )

    def _own(self) -> BulkJob:
        job: BulkJob = self.get_object()
        _check_role(self.request, job.account_id, job.action)
        return job


class ImportView(APIView):
    """Subscriptions from a file."""

    parser_classes = (JsonFileParser, CsvFileParser)

    @extend_schema(
        parameters=[ImportOptionsSerializer],
        request={
            "application/json": OpenApiTypes.OBJECT,
            "text/csv": OpenApiTypes.STR,
        },
        responses={201: BulkJobSerializer},
    )
    def post(self, request: Request) -> Response:
        """Create those without an id and change those with one, as a job."""
        context = {"request": request, "view": self}
        options = ImportOptionsSerializer(data=request.query_params.dict(), context=context)
        options.is_valid(raise_exception=True)
        content: Any = request.data
        job = planning.plan_import(
            account=account_for_create(self, options.validated_data.get("account")),
            content=content if isinstance(content, bytes) else b"",
            file_format="csv" if "csv" in (request.content_type or "") else "json",
            is_dry_run=options.validated_data["dry_run"],
            is_all_or_nothing=options.validated_data["all_or_nothing"],
        )
        data = BulkJobSerializer(job, context=context).data
        return Response(data, status=status.HTTP_201_CREATED)


class ExportView(APIView):
    """Subscriptions as a file, which an import takes back."""

    content_negotiation_class = OwnFormat

    @extend_schema(
        parameters=[ExportOptionsSerializer],
        responses={
            (200, "application/json"): OpenApiTypes.OBJECT,
            (200, "text/csv"): OpenApiTypes.STR,
        },
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        """All that the filters of the list leave, without their secrets; archived ones only where
        `status` says so."""
        query = request.query_params.dict()
        options = ExportOptionsSerializer(data=query)
        options.is_valid(raise_exception=True)
        rows = scoped(Subscription.objects.all(), request, "account_id")
        found = SubscriptionFilter(query, rows, request=request)
        if not found.is_valid():
            raise serializers.ValidationError(found.errors)
        rows = found.qs
        if not query.get("status"):
            rows = rows.exclude(status=Subscription.Status.ARCHIVED)
        rows = rows.prefetch_related("patterns").order_by("created_at", "pk")
        streamed = rows.iterator(chunk_size=500)
        if options.validated_data["as"] == "csv":
            return _file(written_csv(streamed), "text/csv", "subscriptions.csv")
        return _file(written_json(streamed), "application/json", "subscriptions.json")


def _check_role(request: Request, account_id: UUID, job_action: str) -> None:
    """A job needs the role that its action needs for one subscription."""
    role = caller_of(request).role_in(account_id)
    if role is None or role.rank < SubscriptionViewSet.roles.get(job_action, Role.DEVELOPER).rank:
        raise PermissionDenied("your role in this account does not allow that")


def _file(content: Iterator[bytes], media_type: str, name: str) -> StreamingHttpResponse:
    return StreamingHttpResponse(
        content,
        content_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
