"""What the API's dead letters have in common, whether they are deliveries or receipts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from django.db.models import QuerySet
from rest_framework import serializers

from webhooks_project.api.scoping import AccountField
from webhooks_project.dead_letters import MAX_REASON_LENGTH, count_groups

SHOWN_GROUPS: Final = 100


class ReasonSerializer(serializers.Serializer[Any]):
    """Why nobody is to take them up."""

    reason = serializers.CharField(max_length=MAX_REASON_LENGTH)


class CountSerializer(serializers.Serializer[Any]):
    """How many there were."""

    count = serializers.IntegerField()


class SelectionSerializer(serializers.Serializer[Any]):
    """Which dead letters. One mark beside the account is to be named."""

    account = AccountField()
    fingerprint = serializers.RegexField(
        "^[0-9a-f]{32}$", required=False, help_text="Of a group: those that failed alike."
    )
    since = serializers.DateTimeField(required=False, help_text="Dead since then.")
    until = serializers.DateTimeField(required=False, help_text="Dead before then.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs.keys() - {"account", "reason"}:
            raise serializers.ValidationError(
                "name a group or a filter; one of all has a since or an until",
                code="nothing_named",
            )
        return attrs


def largest_groups(
    rows: QuerySet[Any], group: Callable[..., Sequence[Any]]
) -> dict[str, int | Sequence[Any]]:
    """The largest groups among the rows, as `group` makes them, and how many there are in all."""
    return {"count": count_groups(rows), "results": group(rows, limit=SHOWN_GROUPS)}
