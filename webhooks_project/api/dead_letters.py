"""What the API's dead letters have in common, whether they are deliveries or receipts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from webhooks_project.api.scoping import AccountField, AccountScopedViewSet, account_for_create
from webhooks_project.dead_letters import MAX_LETTERS_AT_ONCE, MAX_REASON_LENGTH, count_groups

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


class GroupSerializer(serializers.Serializer[Any]):
    """Dead letters that failed alike. `sample` is the last of them."""

    fingerprint = serializers.CharField()
    account = serializers.UUIDField(source="account_id")
    text = serializers.CharField()
    count = serializers.IntegerField()
    first_at = serializers.DateTimeField(allow_null=True)
    last_at = serializers.DateTimeField(allow_null=True)
    sample = serializers.UUIDField(source="sample_id")


class DeadLetterActions(AccountScopedViewSet):
    """What is done to dead letters, one by one or many, the same way whatever they are.

    `letters` makes a selection of its marks, which its two forms read from a request; `group`
    makes groups of rows. `again` and `discard_rows` do it to a selection.
    """

    lookup_value_regex = "[0-9a-f-]{36}"
    letters: ClassVar[type[Any]]
    form: ClassVar[type[SelectionSerializer]]
    discard_form: ClassVar[type[SelectionSerializer]]
    groups_form: ClassVar[type[serializers.Serializer[Any]]]
    group: ClassVar[Callable[..., Sequence[Any]]]
    again: ClassVar[Callable[..., int]]
    discard_rows: ClassVar[Callable[..., int]]

    def largest_groups(self, rows: QuerySet[Any]) -> Response:
        """The largest groups among the rows, and how many there are in all."""
        groups = {
            "count": count_groups(rows),
            "results": type(self).group(rows, limit=SHOWN_GROUPS),
        }
        return Response(self.groups_form(groups).data)

    def do_again(self, request: Request) -> Response:
        """Have all that the request selects again."""
        letters, _ = self._selected(request, self.form)
        return Response({"count": type(self).again(letters, limit=MAX_LETTERS_AT_ONCE)})

    def discard_all(self, request: Request) -> Response:
        """Discard all that the request selects, with its reason."""
        letters, reason = self._selected(request, self.discard_form)
        count = type(self).discard_rows(letters, reason=reason, limit=MAX_LETTERS_AT_ONCE)
        return Response({"count": count})

    def reason_in(self, request: Request) -> str:
        """The reason that the request gives for one."""
        serializer = ReasonSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        return str(serializer.validated_data["reason"])

    def _selected(self, request: Request, form: type[SelectionSerializer]) -> tuple[Any, str]:
        serializer = form(data=request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        given = dict(serializer.validated_data)
        reason = given.pop("reason", "")
        account = account_for_create(self, given.pop("account", None))
        return self.letters(account=account, **given), reason
