"""The part of a subscription's JSON that is about the endpoint's security."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from subscriptions.keys import keys_url
from subscriptions.models import SigningSecret, Subscription
from subscriptions.security import FIELDS, shown_security
from subscriptions.services import MAX_ROTATION_GRACE, ROTATION_GRACE
from webhooks_project.lib.certificates import ends_at


class _Sealed:
    """A column that is not read as it is: SecuritySerializer adds what is shown of it."""

    def get_attribute(self, instance: Subscription) -> None:
        return None


class _Document(serializers.JSONField):
    """A JSON document that the service judges."""


@extend_schema_field(OpenApiTypes.OBJECT)
class _Template(_Document):
    """A signature template."""


@extend_schema_field(OpenApiTypes.OBJECT)
class _Authentication(_Sealed, _Document):
    """An authentication."""


class _Headers(_Sealed, serializers.DictField):
    child = serializers.CharField(max_length=4096, trim_whitespace=False)


class _PrivateKey(_Sealed, serializers.CharField):
    """A PEM text."""


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "object"}]})
class _Key(serializers.JSONField):
    """A JWK, as an object or as its text, or a PEM text."""


class SecuritySerializer(serializers.ModelSerializer[Subscription]):
    """How the endpoint knows us, and we it. Secrets are write-only: they are shown as
    `[redacted]`, and where that is sent back, what is there stays."""

    signature_template = _Template(
        required=False,
        allow_null=True,
        help_text="Another convention of signing: a preset, or header, algorithm, encoding, "
        "content, value, separator, timestamp_header, id_header.",
    )
    custom_headers = _Headers(
        required=False, help_text="Headers that are added to each request: a value by each name."
    )
    authentication = _Authentication(
        required=False,
        allow_null=True,
        help_text="kind basic (username, password), bearer (token), or oauth2 (token_url, "
        "client_id, client_secret, scopes, audience, client_authentication).",
    )
    client_certificate = serializers.CharField(
        required=False, allow_blank=True, max_length=65_536, help_text="PEM, for mutual TLS."
    )
    client_key = _PrivateKey(
        required=False, allow_blank=True, max_length=65_536, help_text="PEM, without passphrase."
    )
    client_certificate_expires_at = serializers.SerializerMethodField()
    ca_certificates = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=65_536,
        help_text="PEM: whom to trust in place of the authorities that everybody trusts.",
    )
    encryption_key = _Key(
        required=False,
        help_text="The receiver's public key, JWK or PEM: bodies are then sealed for it (JWE).",
    )

    jwks_url = serializers.SerializerMethodField(
        help_text="The public keys of its Ed25519 secrets (JWK Set), for everybody."
    )

    SECURITY_FIELDS: Final = (*FIELDS, "client_certificate_expires_at", "jwks_url")

    def get_jwks_url(self, subscription: Subscription) -> str:
        return keys_url(subscription.pk)

    def get_client_certificate_expires_at(self, subscription: Subscription) -> datetime | None:
        text = subscription.client_certificate
        return ends_at(text) if text else None

    def to_representation(self, instance: Subscription) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)
        return shown | shown_security(instance)


class RotationSerializer(serializers.Serializer[Any]):
    """How to rotate."""

    kind = serializers.ChoiceField(
        choices=SigningSecret.Kind.choices, default=SigningSecret.Kind.HMAC
    )
    grace_seconds = serializers.IntegerField(
        min_value=0,
        max_value=int(MAX_ROTATION_GRACE.total_seconds()),
        default=int(ROTATION_GRACE.total_seconds()),
        help_text="For how long the old ones sign too: up to seven days.",
    )
    replaces_all = serializers.BooleanField(
        default=False, help_text="Whether those of the other kind end too."
    )

    def arguments(self) -> dict[str, Any]:
        """What the service takes."""
        fields = dict(self.validated_data)
        return {
            "kind": SigningSecret.Kind(fields["kind"]),
            "grace": timedelta(seconds=fields["grace_seconds"]),
            "replaces_all": fields["replaces_all"],
        }


class RotatedSecretSerializer(serializers.Serializer[Any]):
    """The new secret, shown this once; of an Ed25519 key also the public half."""

    secret = serializers.CharField(read_only=True)
    public_key = serializers.CharField(read_only=True)
