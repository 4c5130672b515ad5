"""Actions of a list on the rows that were chosen, by the services that the rows' buttons call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest

from webhooks_project.admin.access import may
from webhooks_project.lib.errors import DomainError

if TYPE_CHECKING:
    from webhooks_project.admin.base import HubAdmin

MAX_AT_ONCE: Final = 500  # rows in one request; each is a transaction of its own

Act = Callable[[Any, Any], None]
Action = Callable[["HubAdmin", HttpRequest, "QuerySet[Any]"], None]


def bulk(
    title: str, *, done: str, order: str = "pk", too_many: str = f"At most {MAX_AT_ONCE} at once."
) -> Callable[[Act], Action]:
    """Make a method `method(self, row)`, which calls one service, an action of the list.

    Each row is done as its button does it: in its own transaction, with its own entry in the audit,
    for users who may change such rows. Rows for which the service raises a DomainError are left as
    they are, and those that somebody else deleted meanwhile are left out. `done` tells what was
    done, with `{taken}` and `{count}` filled in; `order` is the column by which the rows come;
    `too_many` is said where more than MAX_AT_ONCE are chosen.
    """

    def make(method: Act) -> Action:
        def each(model_admin: HubAdmin, request: HttpRequest, chosen: QuerySet[Any]) -> None:
            rows = list(chosen.order_by(order)[: MAX_AT_ONCE + 1])
            if len(rows) > MAX_AT_ONCE:
                messages.error(request, too_many)
                return
            allowed = [row for row in rows if may(request, row.__class__, method.__name__, row)]
            taken = sum(_is_taken(method, model_admin, row) for row in allowed)
            messages.success(request, done.format(taken=taken, count=len(rows)))

        each.__name__ = method.__name__
        each.verb = method.__name__  # type: ignore[attr-defined]
        return admin.action(each, permissions=["press"], description=title)

    return make


def _is_taken(method: Act, model_admin: HubAdmin, row: Any) -> bool:
    try:
        method(model_admin, row)
    except DomainError:
        return False
    except ObjectDoesNotExist:
        if not is_gone(row):
            raise
        return False
    return True


def is_gone(row: Any) -> bool:
    """Whether somebody else deleted the row. Asked where a service misses one: while this is there,
    it is another that is missing, which is a fault of ours."""
    return not type(row)._default_manager.filter(pk=row.pk).exists()
