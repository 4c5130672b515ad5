"""The one place where the API's querysets are cut down to the caller's accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet

from webhooks_project.accounts.models import Account, Role
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.permissions import role_needed


class AccountScopedViewSet(GenericViewSet[Any]):
    """Base of every viewset over rows. `account_path` leads from the row to its account's id."""

    account_path = "account_id"

    def get_queryset(self) -> QuerySet[Any]:
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        # Of one row the permission looks at the role in its account. Many are cut down to the
        # accounts in which the caller may read them: an administrator of one account may be a
        # viewer of another.
        role = None if self.detail is not False else role_needed(self, self.request.method or "")
        return scoped(queryset, self.request, self.account_path, role)


def scoped(
    queryset: QuerySet[Any], request: Request, account_path: str, role: Role | None = None
) -> QuerySet[Any]:
    """The rows of the caller's accounts; with a role, of those in which the caller has it."""
    caller = caller_of(request)
    if caller.everything:
        return queryset
    ids = [key for key, has in caller.roles.items() if role is None or has.rank >= role.rank]
    return queryset.filter(**{f"{account_path}__in": ids})


if TYPE_CHECKING:
    _AccountRelatedField = serializers.PrimaryKeyRelatedField[Account]
else:
    _AccountRelatedField = serializers.PrimaryKeyRelatedField


@extend_schema_field(OpenApiTypes.UUID)
class AccountField(_AccountRelatedField):
    """The account of a new row: one of the caller's, and by default its only one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"required": False, **kwargs})

    def get_queryset(self) -> QuerySet[Account]:
        return scoped(Account.objects.all(), self.context["request"], "pk")


def account_for_create(view: Any, account: Account | None) -> Account:
    """The account to create in. Raises ValidationError and PermissionDenied."""
    account_id = account_id_for_create(view, account)
    return account or Account.objects.get(pk=account_id)


def account_id_for_create(view: Any, account: Account | None) -> UUID:
    """The id of the account to create in, which nothing is read for."""
    caller = caller_of(view.request)
    if account is None and len(caller.roles) != 1:
        raise serializers.ValidationError({"account": ["name the account"]})
    account_id = account.pk if account else next(iter(caller.roles))
    role = caller.role_in(account_id)
    if role is None or role.rank < role_needed(view, view.request.method).rank:
        raise PermissionDenied("your role in this account does not allow that")
    return account_id
