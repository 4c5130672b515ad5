from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from incoming.acceptable import MAX_HEADER_LENGTH, MAX_LIST_ITEMS, MAX_ROUTES
from incoming.masking import mask_of, redact_query_text
from incoming.models import HandlerRun, Receipt, RefusalCount, Route, Source, SourceSecret
from incoming.payload import body_of, headers_of
from incoming.services import (
    CHANGEABLE,
    ROTATION_GRACE,
    ROUTE_FIELDS,
    has_showable_secret,
    secret_options_set,
    secrets_expire_at,
    shown_options,
)
from incoming.sources import public_url_of
from webhooks_project.api.scoping import AccountField
from webhooks_project.lib.keyring import CannotDecrypt
from webhooks_project.lib.redaction import last_four, redact_headers

MAX_GRACE_SECONDS: Final = int(timedelta(days=30).total_seconds())


def _texts(help_text: str) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.CharField(max_length=255),
        max_length=MAX_LIST_ITEMS,
        required=False,
        help_text=help_text,
    )


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
    """Which receipts, and what follows from them."""

    recipients = _texts("notify: e-mail addresses, and roles of the account such as operator.")

    class Meta:
        model = Route
        fields: ClassVar[tuple[str, ...]] = ("id", "position", *ROUTE_FIELDS, "disabled_at")
        read_only_fields = ("position", "disabled_at")


class RouteOrderSerializer(serializers.Serializer[Any]):
    """The keys of all routes of the source, in the order in which they are to be followed."""

    routes = serializers.ListField(child=serializers.UUIDField(), max_length=MAX_ROUTES)


class SourceSerializer(serializers.ModelSerializer[Source]):
    """Who may send to us."""

    account = AccountField()
    url = serializers.SerializerMethodField(help_text="Where the provider sends its webhooks.")
    previous_url_expires_at = serializers.DateTimeField(
        source="previous_token_expires_at",
        read_only=True,
        help_text="Until when calls to the URL before this one are taken.",
    )
    options = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=4096),
        required=False,
        help_text="What this provider needs to know, by name. Secret ones are taken here and not "
        "shown: an empty text removes one, and one that is left out stays.",
    )
    secret_options = serializers.SerializerMethodField(
        help_text="The names of the secret options that are set."
    )
    allowed_networks = _texts("Networks that may call, in CIDR form; empty for all.")
    methods = _texts("Methods that are taken; empty for the provider's own.")
    content_types = _texts("Media types that are taken; empty for all that can be read.")
    answer_headers = serializers.DictField(
        child=serializers.CharField(max_length=MAX_HEADER_LENGTH),
        required=False,
        help_text="Headers of the answer to a call that is taken, by name.",
    )
    dedup_fields = _texts(
        "Places whose values make two calls the same, such as json:order.id or header:x-id; empty "
        "for the provider's own id."
    )
    secrets = serializers.SerializerMethodField()
    secrets_expire_at = serializers.SerializerMethodField(
        help_text="When the last valid secret ends; null where one has no end, or there is none."
    )
    has_showable_secret = serializers.SerializerMethodField(
        help_text="Whether the provider told a secret that can be shown once."
    )
    routes = RouteSerializer(many=True, read_only=True)

    class Meta:
        model = Source
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "provider", "url", "previous_url_expires_at", *CHANGEABLE,
            "secret_options", "disabled_at", "state", "accepted_count", "duplicate_count",
            "refused_count", "last_received_at", "last_verified_at", "last_error_at", "last_error",
            "created_at", "secrets", "secrets_expire_at", "has_showable_secret", "routes",
        )  # fmt: skip
        read_only_fields = (
            "disabled_at", "state", "accepted_count", "duplicate_count", "refused_count",
            "last_received_at", "last_verified_at", "last_error_at", "last_error",
        )  # fmt: skip

    def to_representation(self, instance: Source) -> dict[str, Any]:
        return super().to_representation(instance) | {"options": shown_options(instance)}

    def get_url(self, source: Source) -> str:
        return public_url_of(source)

    def get_secret_options(self, source: Source) -> list[str]:
        return secret_options_set(source)

    @extend_schema_field(SourceSecretSerializer(many=True))
    def get_secrets(self, source: Source) -> Any:
        rows = [row for row in source.secrets.all() if not row.option]
        return SourceSecretSerializer(rows, many=True).data

    def get_secrets_expire_at(self, source: Source) -> datetime | None:
        return secrets_expire_at(source)

    def get_has_showable_secret(self, source: Source) -> bool:
        return has_showable_secret(source)


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


class GraceSerializer(serializers.Serializer[Any]):
    """How long what is replaced still counts."""

    grace_seconds = serializers.IntegerField(
        default=int(ROTATION_GRACE.total_seconds()), min_value=0, max_value=MAX_GRACE_SECONDS
    )


class RotateSecretSerializer(GraceSerializer):
    """The new secret where the provider made it; empty for one of ours."""

    secret = serializers.CharField(required=False, max_length=4096)


class LearnedSecretSerializer(serializers.Serializer[Any]):
    """The secret that the provider told: the only time that it is shown."""

    secret = serializers.CharField()


class RunInListSerializer(serializers.ModelSerializer[HandlerRun]):
    """The duty of one handler to one receipt."""

    class Meta:
        model = HandlerRun
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "source", "receipt", "handler", "round", "status", "attempt_count",
            "next_attempt_at", "worker", "started_at", "duration_ms", "cause", "created_at",
            "finished_at",
        )  # fmt: skip


class RunSerializer(RunInListSerializer):
    """The same with the traceback of its last try."""

    class Meta(RunInListSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (*RunInListSerializer.Meta.fields, "error")


class SchemaErrorSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="A JSON Pointer into the payload.")
    message = serializers.CharField()


class ReceiptSerializer(serializers.ModelSerializer[Receipt]):
    """One call we received, with the verdict given when it arrived."""

    schema_errors = SchemaErrorSerializer(many=True, read_only=True)

    class Meta:
        model = Receipt
        fields: ClassVar[tuple[str, ...]] = (
            "id", "account", "source", "status", "cause", "detail", "external_id", "type",
            "method", "remote_address", "request_id", "received_at", "is_verified", "secret_id",
            "signed_at", "schema_errors", "quarantined_at", "same_body_as", "attempt_count",
            "next_attempt_at", "routed_at", "processed_at", "event_count", "action_count", "round",
            "replay", "body_pruned_at", "dead_at", "fingerprint", "discard_reason",
        )  # fmt: skip


class ReceiptWithBodySerializer(ReceiptSerializer):
    """A receipt with its headers and its body as text, without its compression, secrets and proofs
    masked; and the handlers that it was given to."""

    runs = RunInListSerializer(many=True, read_only=True)
    query = serializers.SerializerMethodField()
    headers = serializers.SerializerMethodField()
    body = serializers.SerializerMethodField()

    class Meta(ReceiptSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *ReceiptSerializer.Meta.fields,
            "query",
            "headers",
            "body",
            "runs",
        )

    def get_query(self, receipt: Receipt) -> str:
        return mask_of(receipt.source)(redact_query_text(receipt.query))

    def get_headers(self, receipt: Receipt) -> dict[str, str]:
        mask = mask_of(receipt.source)
        headers = redact_headers(headers_of(receipt))
        return {name: mask(value) for name, value in headers.items()}

    def get_body(self, receipt: Receipt) -> str:
        return mask_of(receipt.source)(body_of(receipt).decode("utf-8", "replace"))


class RefusalCountSerializer(serializers.ModelSerializer[RefusalCount]):
    """How many calls of a source were refused in one hour, by cause."""

    class Meta:
        model = RefusalCount
        fields: ClassVar[tuple[str, ...]] = ("id", "account", "source", "hour", "cause", "count")


class SampleSerializer(serializers.Serializer[Any]):
    """The type of the sample, and its body where it is to be another than ours."""

    type = serializers.CharField(default="", allow_blank=True, max_length=128)
    body = serializers.CharField(required=False, trim_whitespace=False, max_length=1024 * 1024)


class SampleResultSerializer(serializers.Serializer[Any]):
    """What was sent, proofs masked, and what the door answered."""

    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.SerializerMethodField()
    status = serializers.IntegerField()
    answer = serializers.CharField(allow_blank=True)

    def get_body(self, result: Any) -> str:
        text: str = result.body.decode("utf-8", "replace")
        return text
