"""The questions, and how each is answered."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incoming import trials
from incoming.api.validation.answers import (
    FilterAnswerSerializer,
    PayloadAnswerSerializer,
    RoutesAnswerSerializer,
    SignatureAnswerSerializer,
    TransformationAnswerSerializer,
    UrlAnswerSerializer,
)
from incoming.api.validation.questions import (
    FilterQuestionSerializer,
    PayloadQuestionSerializer,
    RoutesQuestionSerializer,
    SignatureQuestionSerializer,
    TransformationQuestionSerializer,
    UrlQuestionSerializer,
)
from incoming.api.validation.shown import masked, shown_receipt
from incoming.masking import mask_of
from incoming.models import Receipt, Source
from incoming.payload import parse
from incoming.providers import Call
from incoming.routing import Action, Handle, Notify, Publish, Update
from subscriptions.models import EventType, Subscription
from webhooks_project.api.scoping import scoped


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
            document = trials.document_for(receipt.source, shown_receipt(receipt))
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
            data, own = trials.expression_input(receipt.source, shown_receipt(receipt))
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
        return Response(masked(body, mask_of(source)))


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


def _call(source: Source, question: dict[str, Any]) -> Call:
    return trials.call_for(
        source,
        method=question["method"],
        query=question["query"],
        headers=question.get("headers", {}),
        body=question.get("raw", b""),
        moment=question.get("received_at"),
    )
