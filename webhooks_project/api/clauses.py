from __future__ import annotations

from typing import Any

from rest_framework import serializers


class ClauseSerializer(serializers.Serializer[Any]):
    pointer = serializers.CharField(help_text="A JSON Pointer to the clause in the filter.")
    path = serializers.CharField(help_text="The path in the document.", allow_blank=True)
    operator = serializers.CharField()
    expected = serializers.JSONField(allow_null=True)
    found = serializers.ListField(child=serializers.JSONField(allow_null=True))
    absent = serializers.BooleanField()
    passed = serializers.BooleanField()
