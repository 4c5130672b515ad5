from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from outgoing.models import Attempt, Delivery, Event, Replay, Retry
from subscriptions.models import Subscription
from webhooks_project.api.scoping import AccountField, scoped


class EventSerializer(serializers.ModelSerializer[Event]):
    """One immutable fact. `data` is what it was published with."""

    # The serializer's own `data` property is not the field of that name.
    data = serializers.SerializerMethodField()  # type: ignore[assignment]
    webhook_id = serializers.CharField(read_only=True)

    class Meta:
        model = Event
        fields: ClassVar[tuple[str, ...]] = (
            "id", "webhook_id", "account", "type", "data", "occurred_at", "created_at",
            "idempotency_key", "correlation_id", "causation_id", "channels", "metadata",
            "headers", "schema_version", "schema_errors", "quarantined_at", "dropped_at",
            "not_matched",
        )  # fmt: skip

    def get_data(self, event: Event) -> Any:
        return event.payload


class EventInListSerializer(EventSerializer):
    """An event in a list: without its data."""

    data = None  # type: ignore[assignment]

    class Meta(EventSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = tuple(
            name for name in EventSerializer.Meta.fields if name != "data"
        )


class PublishSerializer(serializers.Serializer[Any]):
    """What to publish. The `Idempotency-Key` header is the same as `idempotency_key`."""

    account = AccountField()
    type = serializers.CharField(max_length=128)
    data = serializers.JSONField(allow_null=True)  # type: ignore[assignment]
    idempotency_key = serializers.CharField(max_length=255, required=False)
    occurred_at = serializers.DateTimeField(required=False)
    channels = serializers.ListField(child=serializers.CharField(max_length=128), required=False)
    metadata = serializers.DictField(
        child=serializers.CharField(max_length=500, allow_blank=True), required=False
    )
    headers = serializers.DictField(
        child=serializers.CharField(max_length=1024, trim_whitespace=False),
        required=False,
        help_text="Sent along with each delivery.",
    )
    schema_version = serializers.RegexField(
        r"^[1-9]\d{0,4}(\.\d{1,5})?$",
        required=False,
        help_text="The version that the data has: 2.1, or 2 for the latest of that major version.",
    )


class PublishedSerializer(EventSerializer):
    """The event, the deliveries that were made for it, and whether it was new."""

    is_new = serializers.BooleanField(read_only=True)
    deliveries = serializers.ListField(child=serializers.UUIDField(), read_only=True)
    warnings = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="What the catalogue says of it."
    )

    class Meta(EventSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *EventSerializer.Meta.fields, "is_new", "deliveries", "warnings",
        )  # fmt: skip


class AttemptSerializer(serializers.ModelSerializer[Attempt]):
    """One HTTP try. Durations are milliseconds since the attempt's start."""

    response_body = serializers.SerializerMethodField(
        help_text="The first 16 KiB, as text; bytes that are no UTF-8 are replaced."
    )

    class Meta:
        model = Attempt
        fields: ClassVar[tuple[str, ...]] = (
            "id", "delivery", "number", "trigger", "outcome", "cause", "detail", "status_code",
            "started_at", "queue_wait_ms", "dns_ms", "connect_ms", "tls_ms", "first_byte_ms",
            "duration_ms", "request_headers", "request_bytes", "response_headers",
            "response_body", "response_bytes", "address", "protocol", "worker",
        )  # fmt: skip

    def get_response_body(self, attempt: Attempt) -> str:
        return bytes(attempt.response_body).decode("utf-8", "replace")


class RetrySerializer(serializers.ModelSerializer[Retry]):
    """A delivery's place in the retry queue: when, which number, and why."""

    account = serializers.UUIDField(source="delivery.account_id", read_only=True)
    subscription = serializers.UUIDField(source="delivery.subscription_id", read_only=True)
    event = serializers.UUIDField(source="delivery.event_id", read_only=True)
    event_type = serializers.CharField(source="delivery.event.type", read_only=True)
    status_code = serializers.IntegerField(
        source="delivery.last_status_code",
        read_only=True,
        allow_null=True,
        help_text="The answer before it.",
    )

    class Meta:
        model = Retry
        fields: ClassVar[tuple[str, ...]] = (
            "delivery", "account", "subscription", "event", "event_type", "due_at", "number",
            "cause", "status_code", "created_at",
        )  # fmt: skip


class RetryPlaceSerializer(serializers.ModelSerializer[Retry]):
    class Meta:
        model = Retry
        fields: ClassVar[tuple[str, ...]] = ("due_at", "number", "cause")


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """The duty to bring one event to one subscription."""

    retry = serializers.SerializerMethodField()

    class Meta:
        model = Delivery
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "event", "subscription", "status", "trigger", "attempt_count",
            "last_cause", "last_status_code", "retry", "replay", "created_at", "delivered_at",
            "exhausted_at", "fingerprint", "discard_reason",
        )  # fmt: skip

    def get_retry(self, delivery: Delivery) -> dict[str, Any] | None:
        retry = getattr(delivery, "retry", None)
        return RetryPlaceSerializer(retry).data if retry else None


class DeliveryWithAttemptsSerializer(DeliverySerializer):
    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta(DeliverySerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*DeliverySerializer.Meta.fields, "attempts")


if TYPE_CHECKING:
    _SubscriptionRelatedField = serializers.PrimaryKeyRelatedField[Subscription]
else:
    _SubscriptionRelatedField = serializers.PrimaryKeyRelatedField


@extend_schema_field(OpenApiTypes.UUID)
class OwnSubscriptionField(_SubscriptionRelatedField):
    """A subscription of one of the caller's accounts."""

    def get_queryset(self) -> QuerySet[Subscription]:
        return scoped(Subscription.objects.all(), self.context["request"], "account_id")


class ReplaySerializer(serializers.ModelSerializer[Replay]):
    """A job that carries past events again."""

    account = AccountField()
    subscription = OwnSubscriptionField(required=False, allow_null=True)

    class Meta:
        model = Replay
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "since", "until", "event_type", "subscription", "status",
            "planned_count", "redelivered_count", "error", "created_at", "finished_at",
        )  # fmt: skip
        read_only_fields = (
            "status", "planned_count", "redelivered_count", "error", "created_at", "finished_at",
        )  # fmt: skip

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": ["it must be after since"]})
        return attrs
