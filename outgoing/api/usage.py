from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing.usage import MAX_PERIOD, usage_of_type
from subscriptions.models import EventType
from webhooks_project.api.scoping import AccountScopedViewSet
from webhooks_project.lib import clock

DEFAULT_PERIOD = timedelta(days=7)


class PeriodSerializer(serializers.Serializer[Any]):
    """A period of at most 31 days; by default the last 7."""

    since = serializers.DateTimeField(required=False, help_text="Inclusive.")
    until = serializers.DateTimeField(required=False, help_text="Exclusive; now by default.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until = attrs.get("until") or clock.now()
        since = attrs.get("since") or until - DEFAULT_PERIOD
        if since >= until:
            raise serializers.ValidationError({"since": ["is not before until"]})
        if until - since > MAX_PERIOD:
            raise serializers.ValidationError(
                {"since": [f"is more than {MAX_PERIOD.days} days before until"]}
            )
        return {"since": since, "until": until}


class VersionUsageSerializer(serializers.Serializer[Any]):
    """The events of one schema version, and their deliveries by how they stand."""

    version = serializers.CharField(
        allow_blank=True, help_text="`major.minor`; empty where they were checked against none."
    )
    events = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    mismatched = serializers.IntegerField(help_text="Events that do not fit the schema.")
    subscriptions = serializers.IntegerField(help_text="Those that got deliveries.")
    deliveries = serializers.IntegerField()
    delivered = serializers.IntegerField()
    failing = serializers.IntegerField(help_text="Failed, and tried again.")
    failed = serializers.IntegerField(help_text="Dead letters.")


class TypeUsageSerializer(serializers.Serializer[Any]):
    """How a type is used. `since` is later than asked for where there were too many to count."""

    id = serializers.UUIDField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    events = serializers.IntegerField()
    subscriptions = serializers.IntegerField(help_text="Those that hear it now.")
    versions = VersionUsageSerializer(many=True)


class EventTypeUsageViewSet(AccountScopedViewSet):
    """How event types are used."""

    queryset: QuerySet[EventType] = EventType.objects.all()
    serializer_class = TypeUsageSerializer

    @extend_schema(
        operation_id="event_types_usage",
        parameters=[PeriodSerializer],
        responses=TypeUsageSerializer,
    )
    def usage(self, request: Request, pk: str) -> Response:
        """Events, subscriptions and failures of a type, by schema version, in a period."""
        event_type = self.get_object()
        period = PeriodSerializer(data=request.query_params)
        period.is_valid(raise_exception=True)
        found = usage_of_type(event_type=event_type, **period.validated_data)
        body = TypeUsageSerializer(
            {
                "id": event_type.pk,
                "since": found.since,
                "until": found.until,
                "events": found.events,
                "subscriptions": found.subscriptions,
                "versions": found.versions,
            }
        )
        return Response(body.data)
