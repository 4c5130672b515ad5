"""Rows that are changed by the hundred."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any

from django.db import connections, models, router
from django.db.models.expressions import RawSQL
from django.db.models.sql.subqueries import UpdateQuery

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.sql.rows import Changer, adapter, among, changer, converters, read_all


def wait_for_writers(seconds: float) -> None:
    """Have this thread's connection wait so long at most for another writer.

    Of SQLite only, whose file has one writer at a time; until the connection is made anew.
    """
    connection = connections[router.db_for_write(models.Model)]
    if connection.vendor == "sqlite":
        connection.ensure_connection()
        opened: Any = connection.connection
        opened.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


def update_returning(
    queryset: models.QuerySet[Any],
    values: dict[str, Any],
    columns: Sequence[str],
    *,
    among: models.QuerySet[Any, Any] | None = None,
) -> list[tuple[Any, ...]]:
    """UPDATE the queryset's rows and give back `columns` of each, in one statement.

    Column values come back as Python values, as the ORM would give them. The queryset must not be
    sliced or joined; a subquery in a filter is fine. `among` selects the keys of those that may be
    changed, as many as its slice says and locked as it says: it is asked once, where a planner may
    ask a subquery of a filter again for each row. Both databases know RETURNING (SQLite since
    3.35).
    """
    using = router.db_for_write(queryset.model)
    connection = connections[using]
    chosen, chosen_params = "", ()
    if among is not None:
        asked, chosen_params = among.query.get_compiler(using).as_sql()
        chosen = f"WITH chosen (id) AS MATERIALIZED ({asked}) "
        queryset = queryset.filter(pk__in=RawSQL("SELECT id FROM chosen", ()))
    query = queryset.query.chain(UpdateQuery)
    query.add_update_values(values)  # type: ignore[attr-defined]
    query.clear_ordering(force=True)
    sql, params = query.get_compiler(using).as_sql()
    fields: list[Any] = [queryset.model._meta.get_field(name) for name in columns]
    quoted = read_all(fields, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"{chosen}{sql} RETURNING {quoted}", [*chosen_params, *params])
        rows = cursor.fetchall()
    model: type[models.Model] = queryset.model
    return list(map(converters(model, tuple(columns), using), rows))


def update_by_key(
    model: type[models.Model],
    keys: Sequence[Any],
    values: Mapping[str, Any],
    *,
    increment: Sequence[str] = (),
    **equal: Any,
) -> Collection[Any]:
    """UPDATE the rows with these keys and those values; the columns to `increment` grow by one.

    Returns the keys of those that were: `keys` itself where that is all of them.
    """
    if not keys:
        return ()
    connection = connections[router.db_for_write(model)]
    key, sql, change = _update_parts(
        model, tuple(values), tuple(increment), tuple(equal), connection.alias
    )
    given = [
        value.value if isinstance(value, Enum) else value
        for value in (*values.values(), *equal.values())
    ]
    chosen, params = among(model, keys, connection)
    with kept_cursor(connection) as cursor:
        cursor.execute(f"{sql} {chosen} RETURNING {key}", [*change(given), *params])
        rows = cursor.fetchall()
    if len(rows) == len(keys):
        return keys
    convert = converters(model, (model._meta.pk.name,), connection.alias)
    return {convert(row)[0] for row in rows}


@functools.cache
def _update_parts(
    model: type[models.Model],
    columns: tuple[str, ...],
    increment: tuple[str, ...],
    equal: tuple[str, ...],
    using: str,
) -> tuple[str, str, Changer]:
    """The key's column, the statement up to the keys, and what its values are changed by."""
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: dict[str, Any] = {
        name: model._meta.get_field(name) for name in (*columns, *increment, *equal)
    }
    quoted = {name: quote(field.column) for name, field in fields.items()}
    new = [f"{quoted[name]} = %s" for name in columns]
    new += [f"{quoted[name]} = {quoted[name]} + 1" for name in increment]
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    conditions = [*(f"{quoted[name]} = %s" for name in equal), key]
    sql = f"UPDATE {table} SET {', '.join(new)} WHERE {' AND '.join(conditions)}"  # noqa: S608 - names of our own
    return (
        key,
        sql,
        changer([adapter(fields[name], connection.vendor) for name in (*columns, *equal)]),
    )
