"""Finding rows by what a person has at hand, through indexes even where the tables are long."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Q, QuerySet

from webhooks_project.lib.clock import from_unix

MAX_FOUND: Final = 500  # rows of one look-up; more have a filter of their own
AROUND: Final = timedelta(hours=1)
NONE: Final = Q(pk__in=())


def id_in(term: str) -> UUID | None:
    """The id that a search term is: a UUID in any form, a `webhook-id` `evt_…`."""
    try:
        return UUID(term.strip().removeprefix("evt_"))
    except ValueError:
        return None


def first_found(*look_ups: QuerySet[Any]) -> Q | None:
    """The rows of the first look-up that has any. One after the other, each by its own index: a
    database that is given all of them with OR reads the whole table."""
    for look_up in look_ups:
        keys = list(look_up.order_by().values_list("pk", flat=True)[:MAX_FOUND])
        if keys:
            return Q(pk__in=keys)
    return None


def made_around(key: UUID, column: str) -> Q:
    """Rows whose time is near that at which the id was made, which a UUIDv7 tells (RFC 9562); none
    for any other id."""
    made_at = from_unix((key.int >> 80) / 1000) if key.version == 7 else None
    if made_at is None:
        return NONE
    return Q(**{f"{column}__gte": made_at - AROUND, f"{column}__lte": made_at + AROUND})
