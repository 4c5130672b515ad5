"""What is asked."""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import orjson
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail

from incoming.acceptable import MAX_CONDITION_BYTES, MAX_SCHEMA_BYTES

MAX_BODY_BYTES: Final = 5 * 1024 * 1024  # of a call that is asked about
MAX_VALUE_BYTES: Final = 1024 * 1024  # of a payload, a document, an expression's data
MAX_EXPRESSION_LENGTH: Final = 65_536  # characters, as a source's transformation
MAX_HEADERS: Final = 200


class BoundedJSONField(serializers.JSONField):
    """A JSON value of at most `max_bytes`."""

    def __init__(self, *, max_bytes: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_bytes = max_bytes

    def to_internal_value(self, data: Any) -> Any:
        if len(orjson.dumps(data)) > self.max_bytes:
            raise serializers.ValidationError(
                f"has more than {self.max_bytes:,} bytes", code="max_length"
            )
        return data


class BodySerializer(serializers.Serializer[Any]):
    """A body: as text, or in base64 where it is none."""

    body = serializers.CharField(
        required=False, allow_blank=True, trim_whitespace=False, max_length=MAX_BODY_BYTES
    )
    body_base64 = serializers.CharField(
        required=False, allow_blank=True, max_length=MAX_BODY_BYTES * 4 // 3 + 4
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "body" in attrs and "body_base64" in attrs:
            raise serializers.ValidationError({"body": ["give this or body_base64"]})
        if "body_base64" in attrs:
            try:
                attrs["raw"] = base64.b64decode(attrs["body_base64"], validate=True)
            except (binascii.Error, ValueError) as error:
                raise serializers.ValidationError({"body_base64": ["is no base64"]}) from error
        elif "body" in attrs:
            attrs["raw"] = attrs["body"].encode()
        return attrs


class CallSerializer(BodySerializer):
    """One call to a source."""

    source = serializers.UUIDField(required=False)  # type: ignore[assignment]
    method = serializers.CharField(default="POST", max_length=16)
    query = serializers.CharField(
        default="", allow_blank=True, trim_whitespace=False, max_length=65_536
    )
    headers = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=65_536),
        required=False,
    )
    received_at = serializers.DateTimeField(
        required=False, help_text="The moment to judge timestamps by; now where it is left out."
    )

    def validate_headers(self, value: dict[str, str]) -> dict[str, str]:
        if len(value) > MAX_HEADERS:
            raise serializers.ValidationError(f"at most {MAX_HEADERS} are taken", code="max_length")
        return value


class SignatureQuestionSerializer(CallSerializer):
    source = serializers.UUIDField()


class PayloadQuestionSerializer(BodySerializer):
    """One of `schema`, `source`, `event_type`; and `payload`, or a body as the source gets it."""

    schema = BoundedJSONField(
        max_bytes=MAX_SCHEMA_BYTES,
        required=False,
        help_text="JSON Schema, draft 2020-12 unless it says otherwise.",
    )
    source = serializers.UUIDField(  # type: ignore[assignment]
        required=False, help_text="A source whose schema it is."
    )
    event_type = serializers.UUIDField(
        required=False, help_text="An event type whose latest schema it is."
    )
    payload = BoundedJSONField(max_bytes=MAX_VALUE_BYTES, required=False, allow_null=True)
    content_type = serializers.CharField(
        default="application/json", max_length=255, help_text="Of the body."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        _one_of(attrs, "schema", "source", "event_type")
        _one_of(attrs, "payload", "raw", named="payload")
        return attrs


class FilterQuestionSerializer(serializers.Serializer[Any]):
    """A filter, and a document or a receipt: of this, what a route's condition sees."""

    filter = BoundedJSONField(max_bytes=MAX_CONDITION_BYTES)
    document = BoundedJSONField(max_bytes=MAX_VALUE_BYTES, required=False, allow_null=True)
    receipt = serializers.UUIDField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _one_of(attrs, "document", "receipt")
        return attrs


class TransformationQuestionSerializer(serializers.Serializer[Any]):
    """A JSONata expression, and data or a receipt: of this, its payload and what it is called.

    With a subscription, `$variables` are its own, and so is the expression where none is given.
    """

    expression = serializers.CharField(
        required=False,
        max_length=MAX_EXPRESSION_LENGTH,
        trim_whitespace=False,
        help_text="Needed unless a subscription with a transformation is named.",
    )
    subscription = serializers.UUIDField(required=False)
    data = BoundedJSONField(  # type: ignore[assignment]
        max_bytes=MAX_VALUE_BYTES, required=False, allow_null=True
    )
    bindings = BoundedJSONField(
        max_bytes=MAX_VALUE_BYTES,
        required=False,
        help_text="What $type, $provider, $headers, $query, $method and $variables are, by those "
        "names; they come before those of the receipt and the subscription.",
    )
    receipt = serializers.UUIDField(required=False)

    def validate_bindings(self, value: Any) -> Any:
        if not isinstance(value, dict):
            raise serializers.ValidationError("must be a mapping")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        _one_of(attrs, "data", "receipt")
        if "expression" not in attrs and "subscription" not in attrs:
            raise serializers.ValidationError(
                {"expression": [ErrorDetail("give one", code="required")]}
            )
        return attrs


class RoutesQuestionSerializer(CallSerializer):
    """A receipt; or a source and a call to it."""

    receipt = serializers.UUIDField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        _one_of(attrs, "receipt", "source")
        return attrs


class UrlQuestionSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=4096)


def _one_of(attrs: dict[str, Any], *names: str, named: str = "") -> None:
    given = [name for name in names if name in attrs]
    if len(given) != 1:
        which = " or ".join(name.replace("raw", "body") for name in names)
        raise serializers.ValidationError({named or names[0]: [f"give one of {which}"]})
