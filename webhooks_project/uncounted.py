"""Marks of what is not counted yet: written with what is to be counted, read by who counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Final

from django.db import connections, router, transaction

from webhooks_project.models import Uncounted

Kind = Uncounted.Kind
MAX_THINNED: Final = 100_000  # marks in one transaction
MIN_FEWER: Final = 1_000  # fewer than these are no burden
DELETED_TOGETHER: Final = 1_000


def mark_uncounted(kind: Kind, moments: Iterable[datetime]) -> None:
    """Say that the minutes of these moments are to be counted (again).

    In the transaction that stores what has them: a mark that commits before could be taken away by
    a count that does not see its rows, and one that commits after could be lost. Returns at once
    for no moments; one statement otherwise.
    """
    minutes = {moment.replace(second=0, microsecond=0) for moment in moments}
    if not minutes:
        return
    connection = connections[router.db_for_write(Uncounted)]
    adapt = connection.ops.adapt_datetimefield_value
    values = [value for minute in sorted(minutes) for value in (kind.value, adapt(minute))]
    with connection.cursor() as cursor:
        cursor.execute(_insert_sql(len(minutes), connection.alias), values)


@transaction.atomic
def thin_out() -> int:
    """Put one new mark in the place of each minute's many. Returns by how many they became fewer.

    For a hub on which nobody counts: otherwise their number is bounded by what one minute commits.
    A new one, since a count that has read an old one may already have read the rows: it takes that
    one away, and only that.
    """
    rows = list(Uncounted.objects.order_by("pk").values_list("pk", "kind", "minute")[:MAX_THINNED])
    minutes = {(kind, minute) for _, kind, minute in rows}
    fewer = len(rows) - len(minutes)
    if fewer < MIN_FEWER:
        return 0
    for kind in Kind:
        mark_uncounted(kind, (minute for each, minute in minutes if each == kind))
    delete_marks([pk for pk, _, _ in rows])
    return fewer


def delete_marks(ids: Sequence[int]) -> None:
    for start in range(0, len(ids), DELETED_TOGETHER):
        rows = Uncounted.objects.filter(pk__in=ids[start : start + DELETED_TOGETHER])
        rows._raw_delete(rows.db)


@cache
def _insert_sql(rows: int, using: str) -> str:
    table = connections[using].ops.quote_name(Uncounted._meta.db_table)
    marks = ", ".join(["(%s, %s)"] * rows)
    return f"INSERT INTO {table} (kind, minute) VALUES {marks}"  # noqa: S608 - names of our own
