"""Which role an action needs. Enforced here for every view of the API."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from webhooks_project.accounts.models import Account, Role
from webhooks_project.accounts.roles import role_for
from webhooks_project.api.authentication import caller_of


def role_needed(view: Any, method: str) -> Role:
    """The view's `roles` by action name; else viewer to read and developer to write."""
    roles: dict[str, Role] = getattr(view, "roles", {})
    return role_for(roles, getattr(view, "action", None) or "", is_read=method in SAFE_METHODS)


def account_of(instance: Any) -> UUID | None:
    """The account that a row is, or belongs to: directly or through what it is part of."""
    if isinstance(instance, Account):
        return instance.pk
    for path in (("account_id",), ("delivery", "account_id"), ("event_type", "account_id"),
                 ("source", "account_id"), ("dashboard", "account_id")):  # fmt: skip
        value = instance
        for name in path:
            value = getattr(value, name, None)
        if value is not None:
            return value  # type: ignore[no-any-return]
    return None


class HasRole(BasePermission):
    """The caller has the role that the action needs: in some account, and in the row's own."""

    message = "your role in this account does not allow that"

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        highest = caller_of(request).highest
        return highest is not None and highest.rank >= role_needed(view, request.method or "").rank

    def has_object_permission(self, request: Request, view: Any, obj: Any) -> bool:
        caller = caller_of(request)
        account_id = account_of(obj)
        if account_id is None:  # the hub's own, such as a replay over all accounts
            return caller.everything
        role = caller.role_in(account_id)
        return role is not None and role.rank >= role_needed(view, request.method or "").rank
