from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.query import Dimension, Measure, Query, answer
from analytics.spans import FIRST_YEAR, LAST_YEAR, is_of_our_time
from incoming.models import Receipt
from outgoing.models import Delivery, Event
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.scoping import scoped
from webhooks_project.lib import clock

MAX_PERIOD = timedelta(days=31)


class PeriodSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        until: datetime = attrs.get("until") or clock.now()
        try:
            since: datetime = attrs.get("since") or until - timedelta(days=1)
        except OverflowError as error:
            raise serializers.ValidationError(
                {"until": ["too early"]}, code="period_not_acceptable"
            ) from error
        if not timedelta() < until - since <= MAX_PERIOD:
            raise serializers.ValidationError({"until": ["1 second to 31 days after since"]})
        if not is_of_our_time(since, until):
            raise serializers.ValidationError(
                {"since": [f"from {FIRST_YEAR} to {LAST_YEAR}"]}, code="period_not_acceptable"
            )
        return {"since": since, "until": until}


class OverviewSerializer(serializers.Serializer[Any]):
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    receipts = serializers.DictField(child=serializers.IntegerField(), help_text="By status.")
    events = serializers.IntegerField()
    deliveries = serializers.DictField(child=serializers.IntegerField(), help_text="By status.")
    attempts = serializers.DictField(
        child=serializers.IntegerField(), help_text="By cause; `succeeded` for those without."
    )


class OverviewView(APIView):
    """What came in and went out in a period, by default the last day."""

    @extend_schema(parameters=[PeriodSerializer], responses=OverviewSerializer)
    def get(self, request: Request) -> Response:
        period = PeriodSerializer(data=request.query_params)
        period.is_valid(raise_exception=True)
        since, until = period.validated_data["since"], period.validated_data["until"]
        made = {"created_at__gte": since, "created_at__lt": until}
        receipts = Receipt.objects.filter(received_at__gte=since, received_at__lt=until)
        attempts = answer(
            Query(
                account_ids=account_ids_of(request),
                measures=[Measure.ATTEMPTS],
                dimensions=[Dimension.CAUSE],
                since=since,
                until=until,
            )
        )
        return Response(
            {
                "since": since,
                "until": until,
                "receipts": _by_status(scoped(receipts, request, "account_id")),
                "events": scoped(Event.objects.filter(**made), request, "account_id").count(),
                "deliveries": _by_status(
                    scoped(Delivery.objects.filter(**made), request, "account_id")
                ),
                "attempts": {
                    row.keys[Dimension.CAUSE]: row.values[Measure.ATTEMPTS] for row in attempts.rows
                },
            }
        )


def account_ids_of(request: Request) -> list[UUID] | None:
    """The accounts that the caller may ask about; None for all of the hub."""
    caller = caller_of(request)
    return None if caller.everything else list(caller.roles)


def _by_status(queryset: Any) -> dict[str, int]:
    return dict(queryset.order_by().values_list("status").annotate(count=Count("pk")))
