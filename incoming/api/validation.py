"""Questions that change nothing: is this right, and if not, where is it wrong?"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final

import orjson
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incoming import trials
from incoming.acceptable import MAX_CONDITION_BYTES, MAX_SCHEMA_BYTES
from incoming.api.serializers import SchemaErrorSerializer
from incoming.errors import BodyPruned
from incoming.masking import mask_of
from incoming.models import Receipt, Route, Source
from incoming.payload import body_of, headers_of, parse
from incoming.providers import Call
from incoming.routing import Action, Handle, Notify, Publish, Update
from subscriptions.models import EventType, Subscription
from webhooks_project.api.clauses import ClauseSerializer
from webhooks_project.api.scoping import scoped

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


# --- what is asked --------------------------------------------------------------------------------


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


# --- what is answered -----------------------------------------------------------------------------


class SignatureAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    cause = serializers.CharField(help_text="Why not; empty where it is valid.", allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    secret_id = serializers.CharField(
        help_text="Which of the source's secrets fitted.", allow_blank=True
    )
    external_id = serializers.CharField(allow_blank=True)
    type = serializers.CharField(allow_blank=True)


class PayloadAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    errors = SchemaErrorSerializer(many=True)  # type: ignore[assignment]


class FilterAnswerSerializer(serializers.Serializer[Any]):
    matched = serializers.BooleanField()
    clauses = ClauseSerializer(many=True)


class TransformationAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    result = serializers.JSONField(allow_null=True)
    is_empty = serializers.BooleanField(help_text="Whether the result is undefined.")
    code = serializers.CharField(allow_blank=True)
    reason = serializers.CharField(allow_blank=True)
    message = serializers.CharField(allow_blank=True)
    position = serializers.IntegerField(
        allow_null=True, help_text="Where in the expression, in characters."
    )


class RouteAnswerSerializer(serializers.Serializer[Any]):
    route = serializers.UUIDField()
    position = serializers.IntegerField()
    taken = serializers.BooleanField()
    reason = serializers.CharField(
        help_text="Why not: disabled, type, condition, or ended by a route before it.",
        allow_blank=True,
    )
    clauses = ClauseSerializer(many=True)


class ActionSerializer(serializers.Serializer[Any]):
    action = serializers.ChoiceField(choices=Route.Action.choices)
    route = serializers.UUIDField(
        help_text="Null for a handler of all such receipts.", allow_null=True
    )
    event_type = serializers.CharField(required=False)
    handler = serializers.CharField(required=False)
    changes = serializers.JSONField(required=False)
    text = serializers.CharField(required=False)


class RoutesAnswerSerializer(serializers.Serializer[Any]):
    routes = RouteAnswerSerializer(many=True)
    actions = ActionSerializer(many=True)
    cause = serializers.CharField(help_text="Why it cannot be told.", allow_blank=True)
    detail = serializers.CharField(allow_blank=True)


class UrlAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    problem = serializers.CharField(allow_blank=True)


# --- the questions --------------------------------------------------------------------------------


class ValidationView(APIView):
    """Base of the questions: finds the caller's own rows."""

    def asked(self, serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        serializer = serializer_class(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def source(self, key: Any) -> Source:
        source: Source = self._own(Source.objects.prefetch_related("secrets", "routes"), key)
        return source

    def receipt(self, key: Any) -> Receipt:
        receipts = Receipt.objects.select_related("source").prefetch_related(
            "source__secrets", "source__routes"
        )
        receipt: Receipt = self._own(receipts, key)
        return receipt

    def event_type(self, key: Any) -> EventType:
        event_type: EventType = self._own(EventType.objects.all(), key)
        return event_type

    def subscription(self, key: Any) -> Subscription:
        subscription: Subscription = self._own(Subscription.objects.all(), key)
        return subscription

    def _own(self, queryset: Any, key: Any) -> Any:
        row = get_object_or_404(scoped(queryset, self.request, "account_id"), pk=key)
        self.check_object_permissions(self.request, row)
        return row


class SignatureValidationView(ValidationView):
    """Is this call from who it says, and if not, which step failed?"""

    @extend_schema(request=SignatureQuestionSerializer, responses=SignatureAnswerSerializer)
    def post(self, request: Request) -> Response:
        question = self.asked(SignatureQuestionSerializer)
        source = self.source(question["source"])
        answer = trials.try_signature(source, _call(source, question), question.get("received_at"))
        return Response(SignatureAnswerSerializer(answer).data)


class PayloadValidationView(ValidationView):
    """Does this payload fit this schema, or that of a source or of an event type?"""

    @extend_schema(request=PayloadQuestionSerializer, responses=PayloadAnswerSerializer)
    def post(self, request: Request) -> Response:
        question = self.asked(PayloadQuestionSerializer)
        payload = (
            question["payload"]
            if "payload" in question
            else parse(question["raw"], question["content_type"])
        )
        answer = trials.try_payload(self._schema(question), payload)
        return Response(PayloadAnswerSerializer(answer).data)

    def _schema(self, question: dict[str, Any]) -> Any:
        if "schema" in question:
            return question["schema"]
        if "source" in question:
            schema = self.source(question["source"]).schema
            if schema is not None:
                return schema
            raise serializers.ValidationError({"source": ["it has no schema"]})
        latest = self.event_type(question["event_type"]).schemas.first()
        if latest is not None:
            return latest.schema
        raise serializers.ValidationError({"event_type": ["it has no schema"]})


class UrlValidationView(ValidationView):
    """Is this URL acceptable as an endpoint? Looks its name up."""

    @extend_schema(request=UrlQuestionSerializer, responses=UrlAnswerSerializer)
    def post(self, request: Request) -> Response:
        answer = trials.try_url(self.asked(UrlQuestionSerializer)["url"])
        return Response(UrlAnswerSerializer(answer).data)


class FilterValidationView(ValidationView):
    """Does this filter match, and which of its clauses do?"""

    @extend_schema(request=FilterQuestionSerializer, responses=FilterAnswerSerializer)
    def post(self, request: Request) -> Response:
        question = self.asked(FilterQuestionSerializer)
        if "document" in question:
            document = question["document"]
        else:
            receipt = self.receipt(question["receipt"])
            document = trials.document_for(receipt.source, _shown_receipt(receipt))
        answer = trials.try_filter(question["filter"], document)
        clauses = [clause.as_json() for clause in answer.clauses]
        return Response({"matched": answer.matched, "clauses": clauses})


class TransformationValidationView(ValidationView):
    """What does this transformation give?"""

    @extend_schema(
        request=TransformationQuestionSerializer, responses=TransformationAnswerSerializer
    )
    def post(self, request: Request) -> Response:
        question = self.asked(TransformationQuestionSerializer)
        bindings: dict[str, Any] = {}
        expression: str = question.get("expression", "")
        if "subscription" in question:
            subscription = self.subscription(question["subscription"])
            bindings["variables"] = subscription.variables
            expression = expression or subscription.transformation
            if not expression:
                raise serializers.ValidationError({"subscription": ["it has no transformation"]})
        if "data" in question:
            data = question["data"]
        else:
            receipt = self.receipt(question["receipt"])
            data, own = trials.expression_input(receipt.source, _shown_receipt(receipt))
            bindings |= own
        bindings |= question.get("bindings", {})
        answer = trials.try_transformation(expression, data, bindings)
        return Response(TransformationAnswerSerializer(answer).data)


class RoutesValidationView(ValidationView):
    """What would follow this call, or this receipt, route by route? Nothing is done."""

    @extend_schema(request=RoutesQuestionSerializer, responses=RoutesAnswerSerializer)
    def post(self, request: Request) -> Response:
        question = self.asked(RoutesQuestionSerializer)
        if "receipt" in question:
            receipt = self.receipt(question["receipt"])
            source = receipt.source
        else:
            source = self.source(question["source"])
            receipt = trials.receipt_for(source, _call(source, question))
        answer = trials.try_routes(source, receipt)
        body = {
            "routes": [
                {
                    "route": str(item.route.pk),
                    "position": item.route.position,
                    "taken": item.taken,
                    "reason": item.reason,
                    "clauses": [clause.as_json() for clause in item.clauses],
                }
                for item in answer.routes
            ],
            "actions": [_shown_action(action) for action in answer.actions],
            "cause": answer.cause,
            "detail": answer.detail,
        }
        return Response(_masked(body, mask_of(source)))


def _shown_action(action: Action) -> dict[str, Any]:
    route = action.route
    shown: dict[str, Any] = {"route": str(route.pk) if route else None}
    match action:
        case Publish(event_type=event_type):
            return {"action": "publish", **shown, "event_type": event_type}
        case Handle(handler=handler):
            return {"action": "handle", **shown, "handler": handler}
        case Update(changes=changes):
            return {"action": "update", **shown, "changes": dict(changes)}
        case Notify(text=text):
            return {"action": "notify", **shown, "text": text}


def _one_of(attrs: dict[str, Any], *names: str, named: str = "") -> None:
    given = [name for name in names if name in attrs]
    if len(given) != 1:
        which = " or ".join(name.replace("raw", "body") for name in names)
        raise serializers.ValidationError({named or names[0]: [f"give one of {which}"]})


def _call(source: Source, question: dict[str, Any]) -> Call:
    return trials.call_for(
        source,
        method=question["method"],
        query=question["query"],
        headers=question.get("headers", {}),
        body=question.get("raw", b""),
        moment=question.get("received_at"),
    )


def _shown_receipt(receipt: Receipt) -> Receipt:
    """A copy of the receipt as the API shows it: an answer may quote what is asked.

    Raises BodyPruned where there is nothing to ask about any more.
    """
    if receipt.body_pruned_at is not None:
        raise BodyPruned
    mask = mask_of(receipt.source)
    shown = copy(receipt)
    shown.query = mask(receipt.query)
    shown.headers = orjson.dumps({name: mask(text) for name, text in headers_of(receipt).items()})
    body = body_of(receipt).decode("utf-8", "surrogateescape")
    shown.body = mask(body).encode("utf-8", "surrogateescape")
    return shown


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    """A JSON value with the secrets taken out of all its texts and numbers."""
    if isinstance(value, Mapping):
        return {mask(name): _masked(item, mask) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item, mask) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    shown = mask(str(value))
    return value if shown == str(value) else shown
