from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from outgoing.bodies import Origin
from outgoing.explaining import Step, shown
from outgoing.models import Attempt, Delivery, Event, Replay, Retry
from subscriptions.models import Subscription
from webhooks_project.api.scoping import AccountField, scoped

MAX_BATCH: Final = 1_000  # events published by one request


_NOT_SO: Final = frozenset({"account", "data"})  # columns of an event that are shown otherwise


class ExactJsonField(serializers.JSONField):
    """JSON as it is written, as bytes: see ExactDataParser."""

    def to_internal_value(self, data: Any) -> Any:
        return data


class EventSerializer(serializers.ModelSerializer[Event]):
    """One immutable fact. `data` is what it was published with, byte for byte."""

    # The serializer's own `data` property is not the field of that name.
    data = serializers.SerializerMethodField()  # type: ignore[assignment]
    webhook_id = serializers.CharField(read_only=True)

    class Meta:
        model = Event
        fields: ClassVar[tuple[str, ...]] = (
            "id", "webhook_id", "account", "type", "data", "occurred_at", "created_at",
            "idempotency_key", "correlation_id", "causation_id", "channels", "metadata",
            "headers", "schema_version", "schema_errors", "warnings", "traceparent", "tracestate",
            "deliver_at", "cancelled_at", "quarantined_at", "dropped_at", "body_pruned_at",
            "expunged_at", "not_matched",
        )  # fmt: skip

    def get_data(self, event: Event) -> Any:
        return orjson.Fragment(bytes(event.data))

    def to_representation(self, instance: Event) -> dict[str, Any]:
        # What the fields would say, which they take five times as long for.
        shown = {name: getattr(instance, name) for name in self.Meta.fields if name not in _NOT_SO}
        shown["account"] = instance.account_id
        if "data" in self.Meta.fields:
            shown["data"] = self.get_data(instance)
        return {name: shown[name] for name in self.Meta.fields}


class EventInListSerializer(EventSerializer):
    """An event in a list: without its data."""

    data = None  # type: ignore[assignment]

    class Meta(EventSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = tuple(
            name for name in EventSerializer.Meta.fields if name != "data"
        )


class NewEventSerializer(serializers.Serializer[Any]):
    """An event to publish."""

    type = serializers.CharField(max_length=128)
    data = ExactJsonField(allow_null=True)  # type: ignore[assignment]
    idempotency_key = serializers.CharField(max_length=255, required=False)
    occurred_at = serializers.DateTimeField(required=False)
    deliver_at = serializers.DateTimeField(
        required=False, help_text="When to deliver it, at most 30 days ahead; at once without it."
    )
    correlation_id = serializers.RegexField(
        r"^[A-Za-z0-9._-]{8,64}\Z", required=False, help_text="The request's own id without it."
    )
    causation_id = serializers.RegexField(
        # Which receipt caused an event is the hub's to say.
        r"^(?!receipt:)[!-~]{1,128}\Z",
        required=False,
        help_text="What caused it, such as the webhook_id of another event.",
    )
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


class AccountSerializer(serializers.Serializer[Any]):
    """The account to publish in."""

    account = AccountField(required=True)


class PublishSerializer(NewEventSerializer):
    """What to publish. The `Idempotency-Key` header is the same as `idempotency_key`."""

    account = AccountField()


@extend_schema_field(NewEventSerializer(many=True))
class NewEventsField(serializers.ListField):
    """Events that are looked at one by one later."""


class BatchSerializer(serializers.Serializer[Any]):
    """Several events to publish."""

    events = NewEventsField(
        min_length=1,
        max_length=MAX_BATCH,
        help_text="Each as for a single one, without its account.",
    )


class PublishBatchSerializer(BatchSerializer):
    """Events to publish. What is wrong with one of them stands in its result."""

    account = AccountField()


class PublishedSerializer(EventSerializer):
    """The event, the deliveries that were made for it, and whether it was new."""

    is_new = serializers.BooleanField(read_only=True)
    deliveries = serializers.ListField(child=serializers.UUIDField(), read_only=True)

    class Meta(EventSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*EventSerializer.Meta.fields, "is_new", "deliveries")


class PublishResultSerializer(serializers.Serializer[Any]):
    """What became of one event of a batch.

    `event`, `webhook_id`, `deliveries` and `warnings` of one that was published or repeated; the
    parts of a problem, from `code` on, of one that was refused.
    """

    status = serializers.ChoiceField(choices=["published", "repeated", "refused"])
    event = serializers.UUIDField(required=False)
    webhook_id = serializers.CharField(required=False)
    deliveries = serializers.ListField(child=serializers.UUIDField(), required=False)
    warnings = serializers.ListField(child=serializers.CharField(), required=False)
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)
    # The serializer's own `errors` property is not the field of that name.
    errors = serializers.ListField(  # type: ignore[assignment]
        child=serializers.DictField(), required=False
    )


class PublishedBatchSerializer(serializers.Serializer[Any]):
    """How many were what, and what became of each, in the order of the request."""

    published = serializers.IntegerField()
    repeated = serializers.IntegerField()
    refused = serializers.IntegerField()
    results = PublishResultSerializer(many=True)


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


class RequestBodySerializer(serializers.Serializer[Any]):
    """The body of an attempt's request, byte for byte as it was signed and sent.

    It was compared with the hash that was noted then. `origin`: reproduced from the event, or
    stored; not_sent or not_kept where there is none. What is signed is `webhook-id`, a dot,
    `webhook-timestamp`, a dot and this body.
    """

    attempt = serializers.UUIDField()
    origin = serializers.ChoiceField(choices=[item.value for item in Origin])
    sha256 = serializers.CharField(help_text="In hex; empty where nothing was sent.")
    bytes = serializers.IntegerField(help_text="Its size.")
    encoding = serializers.ChoiceField(choices=["utf-8", "base64"], allow_null=True)
    body = serializers.CharField(allow_null=True)


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
    scheduled_for = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text="The time of its event that it waits for; null where it waits for none.",
    )

    class Meta:
        model = Delivery
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "event", "subscription", "status", "trigger", "attempt_count",
            "last_cause", "last_status_code", "scheduled_for", "retry", "replay", "created_at",
            "delivered_at", "exhausted_at", "fingerprint", "discard_reason",
        )  # fmt: skip

    def get_retry(self, delivery: Delivery) -> dict[str, Any] | None:
        retry = getattr(delivery, "retry", None)
        return RetryPlaceSerializer(retry).data if retry else None


class DeliveryWithAttemptsSerializer(DeliverySerializer):
    attempts = AttemptSerializer(many=True, read_only=True)

    class Meta(DeliverySerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*DeliverySerializer.Meta.fields, "attempts")


class ConsideredSerializer(serializers.Serializer[Any]):
    """What became of an event at one subscription, and whether it would get it now.

    `outcome`: delivery, not_matched, quarantined, created_later or not_heard.
    """

    subscription = serializers.UUIDField(source="subscription.pk")
    subscription_name = serializers.CharField(source="subscription.name")
    outcome = serializers.CharField()
    reason = serializers.CharField(allow_blank=True)
    clauses = serializers.ListField(child=serializers.DictField())
    delivery = serializers.UUIDField(source="delivery.pk", default=None, allow_null=True)
    delivery_status = serializers.CharField(source="delivery.status", default=None, allow_null=True)
    matches_now = serializers.BooleanField()
    reason_now = serializers.CharField(allow_blank=True)


class ExplainOptionsSerializer(serializers.Serializer[Any]):
    page = serializers.IntegerField(default=1, min_value=1, max_value=1_000_000)


class ExplanationSerializer(serializers.Serializer[Any]):
    """All that have to do with the event's type stand on the first page, and some of the rest."""

    count = serializers.IntegerField(help_text="Of all subscriptions of the account.")
    next = serializers.CharField(allow_null=True, help_text="Where the next page is.")
    results = ConsideredSerializer(many=True)


class StepSerializer(serializers.Serializer[Any]):
    """One step of a delivery's way; `at` is null for what is so at present."""

    at = serializers.DateTimeField(allow_null=True)
    kind = serializers.CharField()
    text = serializers.CharField()
    facts = serializers.SerializerMethodField()

    def get_facts(self, step: Step) -> dict[str, Any]:
        return shown(step.facts)


if TYPE_CHECKING:
    _SubscriptionRelatedField = serializers.PrimaryKeyRelatedField[Subscription]
else:
    _SubscriptionRelatedField = serializers.PrimaryKeyRelatedField


@extend_schema_field(OpenApiTypes.UUID)
class OwnSubscriptionField(_SubscriptionRelatedField):
    """A subscription of one of the caller's accounts."""

    def get_queryset(self) -> QuerySet[Subscription]:
        return scoped(Subscription.objects.all(), self.context["request"], "account_id")


class PlannedDeliveriesSerializer(serializers.Serializer[Any]):
    """Deliveries of one event type and subscription that would be carried again."""

    event_type = serializers.CharField()
    subscription = serializers.UUIDField()
    subscription_name = serializers.CharField()
    count = serializers.IntegerField()


class EventReplayPlanSerializer(serializers.Serializer[Any]):
    """What a replay would come to. `left_out` counts, by reason, what fits but is not carried:
    waiting, archived, body_pruned. Not `is_complete`: too many events fit to look at all of them.
    """

    # Those that an older release planned have none of it.
    count = serializers.IntegerField(default=0)
    oldest = serializers.DateTimeField(allow_null=True, default=None)
    deliveries = PlannedDeliveriesSerializer(many=True, default=list)
    left_out = serializers.DictField(child=serializers.IntegerField(), default=dict)
    estimated_seconds = serializers.IntegerField(default=0)
    is_complete = serializers.BooleanField(default=True)


class ReplaySerializer(serializers.ModelSerializer[Replay]):
    """A job that carries past events again. Empty fields select any."""

    account = AccountField()
    subscription = OwnSubscriptionField(required=False, allow_null=True)
    event_type = serializers.CharField(
        required=False, allow_blank=True, max_length=128, help_text="A type, or a name ending in *."
    )
    statuses = serializers.ListField(
        child=serializers.ChoiceField(Delivery.Status.choices), required=False
    )
    filter = serializers.JSONField(required=False, allow_null=True)
    plan = EventReplayPlanSerializer(read_only=True)

    class Meta:
        model = Replay
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "kind", "since", "until", "event_type", "subscription", "statuses",
            "channel", "filter", "status", "paused_at", "planned_count", "redelivered_count",
            "plan", "error", "requested_by", "created_at", "started_at", "finished_at",
        )  # fmt: skip
        read_only_fields = (
            "status", "paused_at", "planned_count", "redelivered_count", "error", "requested_by",
            "created_at", "started_at", "finished_at",
        )  # fmt: skip
        extra_kwargs: ClassVar = {
            "kind": {
                "help_text": "recover: what was given up. missing: what a subscription never got "
                "and matches now. replay: whatever has ended."
            },
            "until": {"required": False, "help_text": "Exclusive; now where it is not given."},
        }

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "until" in attrs and attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": ["it must be after since"]})
        return attrs
