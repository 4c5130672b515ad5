"""What is done to subscriptions by means of their deliveries."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from outgoing.api.retries import PlannedAttemptSerializer
from outgoing.doctor import Name, Verdict, diagnose
from outgoing.policies import policy_of
from outgoing.resuming import resume_subscription
from subscriptions.api.subscriptions import SubscriptionSerializer
from subscriptions.models import Subscription
from webhooks_project.accounts.models import Role
from webhooks_project.api.scoping import AccountScopedViewSet


class ResumeSerializer(serializers.Serializer[Any]):
    """What is not to go out: without it, all that was held does."""

    skip_older_than = serializers.DateTimeField(
        required=False, help_text="What was held and is older is cancelled."
    )


class ResumedSerializer(SubscriptionSerializer):
    """The subscription, and how many of its deliveries were skipped."""

    skipped_count = serializers.IntegerField(read_only=True)

    class Meta(SubscriptionSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*SubscriptionSerializer.Meta.fields, "skipped_count")


class ProbeSerializer(serializers.Serializer[Any]):
    """One delivery of a diagnosis and what to think of its answer."""

    name = serializers.ChoiceField(choices=[item.value for item in Name])
    status = serializers.IntegerField(allow_null=True)
    milliseconds = serializers.FloatField(allow_null=True)
    verdict = serializers.ChoiceField(choices=[item.value for item in Verdict])
    advice = serializers.CharField()


class DiagnosisSerializer(serializers.Serializer[Any]):
    """Whether the receiver really verifies, is quick enough and answers rightly; null where that
    cannot be told."""

    verifies = serializers.BooleanField(allow_null=True)
    is_quick = serializers.BooleanField(allow_null=True)
    answers_rightly = serializers.BooleanField(allow_null=True)
    probes = ProbeSerializer(many=True)


class RetryTimesSerializer(serializers.Serializer[Any]):
    """When the attempts of one delivery would be."""

    subscription = serializers.UUIDField()
    attempts = PlannedAttemptSerializer(many=True)


class SubscriptionDeliveriesViewSet(AccountScopedViewSet):
    """What is done to subscriptions by means of their deliveries."""

    queryset = Subscription.objects.prefetch_related("patterns", "secrets")
    serializer_class = SubscriptionSerializer
    lookup_value_regex = "[0-9a-f-]{36}"
    roles: ClassVar = {"resume": Role.OPERATOR}

    @extend_schema(request=ResumeSerializer, responses=ResumedSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Make it active; what was held goes out, the oldest first, or is skipped."""
        serializer = ResumeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        resumed = resume_subscription(subscription=self.get_object(), **serializer.validated_data)
        shown = self.get_serializer(self.get_object()).data
        return Response({**shown, "skipped_count": resumed.skipped_count})

    @extend_schema(request=None, responses=DiagnosisSerializer)
    @action(detail=True, methods=["post"])
    def diagnose(self, request: Request, pk: str) -> Response:
        """Send its URL five test deliveries, right and wrong ones, and judge the answers."""
        return Response(DiagnosisSerializer(diagnose(subscription=self.get_object())).data)

    @extend_schema(responses=RetryTimesSerializer, filters=False)
    @action(detail=True, url_path="retry-times")
    def retry_times(self, request: Request, pk: str) -> Response:
        """When each attempt of a delivery would be by its retry policy, earliest and latest."""
        subscription = self.get_object()
        times = {"subscription": subscription.pk, "attempts": policy_of(subscription).planned()}
        return Response(RetryTimesSerializer(times).data)
