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

from webhooks_project.accounts.models import Account
from webhooks_project.api.authentication import caller_of
from webhooks_project.api.permissions import role_needed


class AccountScopedViewSet(GenericViewSet[Any]):
    """Base of every viewset over rows. `account_path` leads from the row to its account's id."""

    account_path = "account_id"

    def get_queryset(self) -> QuerySet[Any]:
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        return scoped(queryset, self.request, self.account_path)


def scoped(queryset: QuerySet[Any], request: Request, account_path: str) -> QuerySet[Any]:
    """The rows of the caller's accounts."""
    caller = caller_of(request)
    if caller.everything:
        return queryset
    return queryset.filter(**{f"{account_path}__in": list(caller.roles)})


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
