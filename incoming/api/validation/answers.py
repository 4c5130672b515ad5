"""What is answered."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from incoming.api.serializers import SchemaErrorSerializer
from incoming.models import Route
from webhooks_project.api.clauses import ClauseSerializer


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
