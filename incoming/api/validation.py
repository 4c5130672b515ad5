"""Questions that change nothing: is this right, and if not, where is it wrong?"""

from __future__ import annotations

import time
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from incoming.models import Source
from incoming.providers import PROVIDERS, Call, Refused
from incoming.sources import known_source
from subscriptions.conf import address_policy
from subscriptions.schemas import check_payload
from webhooks_project.api.scoping import scoped
from webhooks_project.lib import clock
from webhooks_project.lib.ssrf import check_endpoint


class SchemaErrorSerializer(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="A JSON Pointer into the payload.")
    message = serializers.CharField()


class PayloadQuestionSerializer(serializers.Serializer[Any]):
    schema = serializers.JSONField(help_text="JSON Schema, draft 2020-12 unless it says otherwise.")
    payload = serializers.JSONField(allow_null=True)


class PayloadAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    errors = SchemaErrorSerializer(many=True)  # type: ignore[assignment]


class SignatureQuestionSerializer(serializers.Serializer[Any]):
    source = serializers.UUIDField()  # type: ignore[assignment]
    method = serializers.CharField(default="POST", max_length=16)
    query = serializers.CharField(default="", allow_blank=True)
    headers = serializers.DictField(child=serializers.CharField(allow_blank=True))
    body = serializers.CharField(allow_blank=True, trim_whitespace=False)
    received_at = serializers.DateTimeField(
        required=False, help_text="The moment to judge timestamps by; now where it is left out."
    )


class SignatureAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    cause = serializers.CharField(help_text="Why not; empty where it is valid.", allow_blank=True)
    detail = serializers.CharField(allow_blank=True)
    external_id = serializers.CharField(allow_blank=True)
    type = serializers.CharField(allow_blank=True)


class UrlQuestionSerializer(serializers.Serializer[Any]):
    url = serializers.CharField(max_length=4096)


class UrlAnswerSerializer(serializers.Serializer[Any]):
    valid = serializers.BooleanField()
    problem = serializers.CharField(allow_blank=True)


class PayloadValidationView(APIView):
    """Does this payload fit this schema?"""

    @extend_schema(request=PayloadQuestionSerializer, responses=PayloadAnswerSerializer)
    def post(self, request: Request) -> Response:
        question = _asked(PayloadQuestionSerializer, request)
        try:
            errors = check_payload(question["schema"], question["payload"])
        except ValueError as error:
            raise serializers.ValidationError({"schema": [str(error)]}) from error
        return Response(
            {
                "valid": not errors,
                "errors": [{"path": item.path, "message": item.message} for item in errors],
            }
        )


class SignatureValidationView(APIView):
    """Is this signature right for this source, and if not, which step failed?"""

    @extend_schema(request=SignatureQuestionSerializer, responses=SignatureAnswerSerializer)
    def post(self, request: Request) -> Response:
        question = _asked(SignatureQuestionSerializer, request)
        source = get_object_or_404(
            scoped(Source.objects.prefetch_related("secrets"), request, "account_id"),
            pk=question["source"],
        )
        known = known_source(source)
        moment = question.get("received_at")
        call = Call(
            method=question["method"],
            url=f"{known.url}?{question['query']}" if question["query"] else known.url,
            headers={name.lower(): value for name, value in question["headers"].items()},
            body=question["body"].encode("utf-8", "surrogatepass"),
            received_at=moment.timestamp() if moment else time.time(),
        )
        verdict = PROVIDERS[source.provider].verify(
            call,
            known.valid_secrets(moment or clock.now()),
            tolerance_seconds=source.tolerance_seconds,
            options=source.options,
        )
        identity = PROVIDERS[source.provider].identify(call, source.options)
        refused = verdict if isinstance(verdict, Refused) else None
        return Response(
            {
                "valid": refused is None,
                "cause": refused.cause.value if refused else "",
                "detail": refused.detail if refused else "",
                "external_id": identity.external_id,
                "type": identity.type,
            }
        )


class UrlValidationView(APIView):
    """Is this URL acceptable as an endpoint? Looks its name up."""

    @extend_schema(request=UrlQuestionSerializer, responses=UrlAnswerSerializer)
    def post(self, request: Request) -> Response:
        problem = check_endpoint(_asked(UrlQuestionSerializer, request)["url"], address_policy())
        return Response({"valid": problem is None, "problem": problem or ""})


def _asked(serializer_class: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
    serializer = serializer_class(data=request.data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
