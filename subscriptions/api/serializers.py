from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from subscriptions.models import EventSchema, EventType, SigningSecret, Subscription
from subscriptions.schemas import check_payload
from webhooks_project.api.scoping import AccountField
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import last_four


class SigningSecretSerializer(serializers.ModelSerializer[SigningSecret]):
    """A signing secret as it is shown after its creation: by its end only."""

    last_four = serializers.SerializerMethodField()

    class Meta:
        model = SigningSecret
        fields: ClassVar[tuple[str, ...]] = ("id", "last_four", "created_at", "expires_at")

    def get_last_four(self, secret: SigningSecret) -> str:
        try:
            return last_four(secret.secret)
        except CannotDecrypt:
            return last_four("")


class SubscriptionSerializer(serializers.ModelSerializer[Subscription]):
    """Where an account wants which events."""

    account = AccountField()
    event_types = serializers.ListField(
        child=serializers.CharField(max_length=128), allow_empty=False, max_length=200
    )
    secrets = SigningSecretSerializer(many=True, read_only=True)

    class Meta:
        model = Subscription
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "name", "url", "description", "event_types", "status",
            "status_reason", "timeout_seconds", "max_in_flight", "paused_at", "disabled_at",
            "created_at", "secrets",
        )  # fmt: skip
        read_only_fields = ("status", "status_reason")
        extra_kwargs: ClassVar = {"timeout_seconds": {"min_value": 1, "max_value": 60},
                        "max_in_flight": {"min_value": 1, "max_value": 1000}}  # fmt: skip


class NewSubscriptionSerializer(SubscriptionSerializer):
    """A subscription just made, with its signing secret: the only time that it is shown."""

    secret = serializers.CharField(read_only=True)

    class Meta(SubscriptionSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*SubscriptionSerializer.Meta.fields, "secret")


class RotatedSecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(read_only=True)


class EventSchemaSerializer(serializers.ModelSerializer[EventSchema]):
    class Meta:
        model = EventSchema
        fields: ClassVar[tuple[str, ...]] = ("id", "version", "schema", "examples", "created_at")
        read_only_fields = ("version",)

    def validate_schema(self, schema: Any) -> Any:
        try:
            check_payload(schema, None)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error
        return schema


class EventTypeSerializer(serializers.ModelSerializer[EventType]):
    """A catalogue entry such as invoice.paid."""

    account = AccountField()
    schemas = EventSchemaSerializer(many=True, read_only=True)

    class Meta:
        model = EventType
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "account",
            "name",
            "description",
            "schema_mode",
            "created_at",
            "schemas",
        )
        # The service says what is taken; the library's own check would ask for the account.
        validators: ClassVar[list[Any]] = []
