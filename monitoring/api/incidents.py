from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from monitoring.models import Incident, IncidentEntry
from monitoring.responses import (
    MAX_COMMENT_LENGTH,
    acknowledge_incident,
    comment_incident,
    resolve_incident,
)
from webhooks_project.accounts.models import Role
from webhooks_project.api.filters import BooleanFilter, FilterSet, MomentFilter
from webhooks_project.api.scoping import AccountScopedViewSet, scoped

INCIDENT_ID = OpenApiParameter("incident_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    """An open problem with one endpoint, source or queue. `figures` are the last and the worst.

    `rules` are those that have seen it, `rule` the one that leads: the first of the most severe.
    """

    figures = serializers.DictField(read_only=True)

    class Meta:
        model = Incident
        fields = (
            "id", "account", "rule", "rules", "kind", "severity", "subscription", "source", "cause",
            "title", "text", "figures", "status", "opened_at", "last_seen_at", "well_since",
            "relapse_count", "acknowledged_at", "acknowledged_by", "raised_at", "escalated_at",
            "resolved_at", "resolved_by", "resolution",
        )  # fmt: skip


class IncidentEntrySerializer(serializers.ModelSerializer[IncidentEntry]):
    """A line of an incident's timeline."""

    class Meta:
        model = IncidentEntry
        fields = ("id", "incident", "kind", "text", "actor_label", "created_at")


class ResolveSerializer(serializers.Serializer[Any]):
    comment = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_COMMENT_LENGTH, default=""
    )


class CommentSerializer(serializers.Serializer[Any]):
    text = serializers.CharField(max_length=MAX_COMMENT_LENGTH)


class IncidentFilter(FilterSet):
    open = BooleanFilter(
        method="filter_open", help_text="True: open or acknowledged; false: resolved."
    )
    since = MomentFilter(field_name="opened_at", lookup_expr="gte")
    until = MomentFilter(field_name="opened_at", lookup_expr="lt")
    cause = filters.CharFilter()
    rule = filters.UUIDFilter(field_name="rules", help_text="A rule that has seen it.")

    class Meta:
        model = Incident
        fields = (
            "account", "status", "kind", "severity", "subscription", "source", "rule", "cause",
        )  # fmt: skip

    def filter_open(self, rows: QuerySet[Incident], name: str, value: bool) -> QuerySet[Incident]:
        resolved = Incident.Status.RESOLVED
        return rows.exclude(status=resolved) if value else rows.filter(status=resolved)


class IncidentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, AccountScopedViewSet):
    """Problems that rules have seen, the newest first."""

    queryset = Incident.objects.prefetch_related("rules")
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
    ordering = ("-opened_at", "id")
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar = {
        "acknowledge": Role.OPERATOR,
        "resolve": Role.OPERATOR,
        "comment": Role.OPERATOR,
    }

    @extend_schema(request=None, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def acknowledge(self, request: Request, pk: str) -> Response:
        """Say that somebody is at it; it is escalated no further."""
        incident = acknowledge_incident(incident=self.get_object())
        return Response(self.get_serializer(incident).data)

    @extend_schema(request=ResolveSerializer, responses=IncidentSerializer)
    @action(detail=True, methods=["post"])
    def resolve(self, request: Request, pk: str) -> Response:
        """Close it. Where the problem is still seen, nothing is opened anew for an hour."""
        serializer = ResolveSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        incident = resolve_incident(incident=self.get_object(), **serializer.validated_data)
        return Response(self.get_serializer(incident).data)

    @extend_schema(request=CommentSerializer, responses={201: IncidentEntrySerializer})
    @action(detail=True, methods=["post"])
    def comment(self, request: Request, pk: str) -> Response:
        """Add words to its timeline."""
        serializer = CommentSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        entry = comment_incident(incident=self.get_object(), **serializer.validated_data)
        return Response(IncidentEntrySerializer(entry).data, status=status.HTTP_201_CREATED)


@extend_schema_view(list=extend_schema(parameters=[INCIDENT_ID]))
class TimelineViewSet(mixins.ListModelMixin, AccountScopedViewSet):
    """What happened to one incident, the oldest first."""

    account_path = "incident__account_id"
    queryset = IncidentEntry.objects.all()
    serializer_class = IncidentEntrySerializer
    ordering = ("created_at", "id")

    @cached_property
    def incident(self) -> Incident:
        """The incident that the URL names. Raises Http404."""
        incidents = scoped(Incident.objects.all(), self.request, "account_id")
        incident: Incident = get_object_or_404(incidents, pk=self.kwargs["incident_id"])
        return incident

    def get_queryset(self) -> QuerySet[IncidentEntry]:
        queryset: QuerySet[IncidentEntry] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset
        return queryset.filter(incident=self.incident)
