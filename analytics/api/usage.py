from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from analytics.api.views import PeriodSerializer
from analytics.usage import usage_of
from subscriptions.models import Subscription
from webhooks_project.api.scoping import AccountScopedViewSet


class UsageSerializer(serializers.Serializer[Any]):
    """A period of a subscription. `failing` deliveries may yet succeed; percentiles are of the
    newest `sampled` attempts; `quota_used` is of `rate_limit`, in the last period counted."""

    subscription = serializers.UUIDField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    matched = serializers.IntegerField()
    is_capped = serializers.BooleanField(help_text="Whether only the newest were counted.")
    deliveries = serializers.DictField(child=serializers.IntegerField(), help_text="By status.")
    failing = serializers.IntegerField()
    attempts = serializers.DictField(child=serializers.IntegerField(), help_text="By cause.")
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    mean_ms = serializers.FloatField(allow_null=True)
    max_ms = serializers.FloatField(allow_null=True)
    sampled = serializers.IntegerField()
    last_success_at = serializers.DateTimeField(allow_null=True)
    rate_limit = serializers.IntegerField(allow_null=True)
    rate_period = serializers.CharField()
    quota_used = serializers.FloatField()
    quota_percent = serializers.FloatField(allow_null=True)


class UsageViewSet(AccountScopedViewSet):
    """What a subscription is used for."""

    queryset = Subscription.objects.all()
    serializer_class = UsageSerializer

    @extend_schema(parameters=[PeriodSerializer], responses=UsageSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Events matched, delivered and failing, latency, last success and quota: of the last day,
        or of `since` to `until`."""
        subscription = self.get_object()
        period = PeriodSerializer(data=request.query_params)
        period.is_valid(raise_exception=True)
        usage = usage_of(subscription, **period.validated_data)
        return Response({"subscription": subscription.pk, **asdict(usage)})
