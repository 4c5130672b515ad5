"""Who sees and does what in the console.

Platform staff are superusers and those who have Django's own permissions: these hold for the rows
of every account. Any other user who may come in sees the rows of the accounts that they are members
of, and does there what the API lets their role do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from webhooks_project.accounts.models import Account, Membership, Role
from webhooks_project.accounts.roles import role_of_verb, view_of

if TYPE_CHECKING:
    _Inline = admin.options.InlineModelAdmin[Any, Any]
else:
    _Inline = object

# The verbs that Django has permissions for; whatever else is done to a row changes it.
_DJANGO_VERBS = ("view", "add", "change", "delete")


def may(request: HttpRequest, model: type[Model], verb: str, row: Any = None) -> bool:
    """Whether the user may do what the verb says: to this row, or without one to any at all."""
    return may_everywhere(request, model, verb) or may_as_member(request, model, verb, row)


def visible_rows(request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Those that the user may look at."""
    return rows_for(request, rows, "view")


def rows_for(
    request: HttpRequest, rows: QuerySet[Any], verb: str, of: type[Model] | None = None
) -> QuerySet[Any]:
    """Those for which the user may do what the verb says; `of` is what it is done to, where that
    is another model."""
    if may_everywhere(request, of or rows.model, verb):
        return rows
    view = view_of(rows.model._meta.label_lower)
    needed = role_of_verb((of or rows.model)._meta.label_lower, verb)
    if view is None or needed is None:
        return rows.none()
    ids = [key for key, role in _roles_of(request).items() if role.rank >= needed.rank]
    return rows.filter(**{f"{view.account_path}__in": ids})


class AccountInline(_Inline):
    """Rows shown and changed as a part of another row, by who may change that."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.parent_model, "view", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.parent_model, "change", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.parent_model, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may(request, self.parent_model, "change", obj)


def may_everywhere(request: HttpRequest, model: type[Model], verb: str) -> bool:
    """Whether the user may do so to the rows of every account."""
    app, name = model._meta.app_label, model._meta.model_name
    verbs = ("view", "change") if verb == "view" else (verb if verb in _DJANGO_VERBS else "change",)
    return any(request.user.has_perm(f"{app}.{item}_{name}") for item in verbs)


def may_as_member(request: HttpRequest, model: type[Model], verb: str, row: Any) -> bool:
    """Whether a role of the user allows it: in the row's account, or without a row in any."""
    needed = role_of_verb(model._meta.label_lower, verb)
    if needed is None:
        return False
    roles = _roles_of(request)
    if row is not None:
        account_id = _account_of(row)
        role = roles.get(account_id) if account_id else None
        return role is not None and role.rank >= needed.rank
    return any(role.rank >= needed.rank for role in roles.values())


def _account_of(row: Any) -> UUID | None:
    if isinstance(row, Account):
        return row.pk
    value = row
    for name in view_of(row._meta.label_lower).account_path.split("__"):
        value = getattr(value, name, None)
    return value if isinstance(value, UUID) else None


def _roles_of(request: HttpRequest) -> dict[UUID, Role]:
    """The roles by which the user comes in, read once a request."""
    known: dict[UUID, Role] | None = getattr(request, "_roles", None)
    if known is None:
        user = request.user
        is_in = user.is_authenticated and user.is_active and user.is_staff
        rows = Membership.objects.filter(user=user.pk) if is_in else ()
        known = {row.account_id: Role(row.role) for row in rows}
        request._roles = known  # type: ignore[attr-defined]
    return known
