"""Rows that are read by the hundred."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

from django.db import connections, models, router

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.sql.rows import Changer, among, converters, read_all


def select_by_key(
    model: type[models.Model],
    keys: Collection[Any],
    columns: Sequence[str],
    *,
    expressions: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """`columns` of the rows with these primary keys; after them SQL `expressions`, as they come.

    For rows that are read by the hundred: the ORM's own converters and lists cost as much as the
    database itself.
    """
    if not keys:
        return []
    connection = connections[router.db_for_read(model)]
    chosen, params = among(model, keys, connection)
    sql, convert = _select_parts(model, tuple(columns), tuple(expressions), connection.alias)
    with kept_cursor(connection) as cursor:
        cursor.execute(f"{sql} {chosen}", params)
        return list(map(convert, cursor.fetchall()))


@functools.cache
def _select_parts(
    model: type[models.Model], columns: tuple[str, ...], expressions: tuple[str, ...], using: str
) -> tuple[str, Changer]:
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    names = ", ".join([read_all(fields, connection), *expressions])
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    sql = f"SELECT {names} FROM {table} WHERE {key}"  # noqa: S608 - names of our own
    return sql, converters(model, columns, using, len(expressions))
