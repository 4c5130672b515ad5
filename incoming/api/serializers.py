from __future__ import annotations

from typing import Any, ClassVar

import orjson
from rest_framework import serializers

from incoming.masking import mask_of, redact_query_text
from incoming.models import Receipt, RefusalCount, Route, Source, SourceSecret
from incoming.sources import public_url_of
from webhooks_project.api.scoping import AccountField
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import last_four, redact_headers


class SourceSecretSerializer(serializers.ModelSerializer[SourceSecret]):
    """A source's secret as it is shown after its creation: by its end only."""

    last_four = serializers.SerializerMethodField()

    class Meta:
        model = SourceSecret
        fields: ClassVar[tuple[str, ...]] = ("id", "last_four", "created_at", "expires_at")

    def get_last_four(self, secret: SourceSecret) -> str:
        try:
            return last_four(secret.secret)
        except CannotDecrypt:
            return last_four("")


class RouteSerializer(serializers.ModelSerializer[Route]):
    """Which receipts become which events."""

    class Meta:
        model = Route
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "position",
            "type_pattern",
            "event_type",
            "disabled_at",
        )
        read_only_fields = ("position", "disabled_at")


class SourceSerializer(serializers.ModelSerializer[Source]):
    """Who may send to us."""

    account = AccountField()
    url = serializers.SerializerMethodField(help_text="Where the provider sends its webhooks.")
    secrets = SourceSecretSerializer(many=True, read_only=True)
    routes = RouteSerializer(many=True, read_only=True)

    class Meta:
        model = Source
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "name", "provider", "url", "options", "public_url",
            "tolerance_seconds", "allowed_networks", "max_body_bytes", "rate_per_minute",
            "rate_per_minute_per_address", "disabled_at", "last_received_at", "created_at",
            "secrets", "routes",
        )  # fmt: skip
        read_only_fields = ("disabled_at", "last_received_at")

    def get_url(self, source: Source) -> str:
        return public_url_of(source)


class CreateSourceSerializer(SourceSerializer):
    """A source to make. `secret` is the provider's where it makes one; else we make one."""

    secret = serializers.CharField(required=False, write_only=True, max_length=4096)

    class Meta(SourceSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*SourceSerializer.Meta.fields, "secret")


class NewSourceSerializer(SourceSerializer):
    """A source just made, with its secret: the only time that it is shown."""

    secret = serializers.CharField(read_only=True)

    class Meta(SourceSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*SourceSerializer.Meta.fields, "secret")


class RotateSecretSerializer(serializers.Serializer[Any]):
    """The new secret where the provider made it; empty for one of ours."""

    secret = serializers.CharField(required=False, max_length=4096)


class ReceiptSerializer(serializers.ModelSerializer[Receipt]):
    """One call we received, with the verdict given when it arrived."""

    class Meta:
        model = Receipt
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "source", "status", "cause", "detail", "external_id", "type",
            "method", "remote_address", "request_id", "received_at", "signed_at",
            "attempt_count", "next_attempt_at", "processed_at", "event_count",
        )  # fmt: skip


class ReceiptWithBodySerializer(ReceiptSerializer):
    """A receipt with its headers and its raw body as text, secrets and proofs masked."""

    query = serializers.SerializerMethodField()
    headers = serializers.SerializerMethodField()
    body = serializers.SerializerMethodField()

    class Meta(ReceiptSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *ReceiptSerializer.Meta.fields,
            "query",
            "headers",
            "body",
        )

    def get_query(self, receipt: Receipt) -> str:
        return mask_of(receipt.source)(redact_query_text(receipt.query))

    def get_headers(self, receipt: Receipt) -> dict[str, str]:
        mask = mask_of(receipt.source)
        headers = redact_headers(orjson.loads(bytes(receipt.headers)))
        return {name: mask(value) for name, value in headers.items()}

    def get_body(self, receipt: Receipt) -> str:
        return mask_of(receipt.source)(bytes(receipt.body).decode("utf-8", "replace"))


class RefusalCountSerializer(serializers.ModelSerializer[RefusalCount]):
    """How many calls of a source were refused in one hour, by cause."""

    class Meta:
        model = RefusalCount
        fields: ClassVar[tuple[str, ...]] = ("id", "account", "source", "hour", "cause", "count")
