"""Rows that wait for their moment: whether there are any, and taking them.

The same by the ORM costs ten times as much and more, and pumps look all day.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import connections, models, router

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.sql.rows import Changer, adapter, as_json, changer, converters, read_all

LeftOut = tuple[str, Collection[Any]]  # a column, and the keys in it that are not wanted


def is_due(
    model: type[models.Model],
    column: str,
    now: datetime,
    *,
    since: datetime | None = None,
    left_out: LeftOut | None = None,
    **equal: Any,
) -> bool:
    """Whether a row has `column <= now` and the given values: an idle pump's look.

    From `since` on where that is given, and without those that are `left_out`.
    """
    connection = connections[router.db_for_read(model)]
    where, params = _where(model, column, now, since, left_out, equal, connection)
    table = connection.ops.quote_name(model._meta.db_table)
    with kept_cursor(connection) as cursor:
        cursor.execute(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1", params)  # noqa: S608 - as below
        return cursor.fetchone() is not None


def claim_due(
    model: type[models.Model],
    column: str,
    now: datetime,
    values: Mapping[str, Any],
    columns: Sequence[str],
    *,
    limit: int,
    since: datetime | None = None,
    left_out: LeftOut | None = None,
    **equal: Any,
) -> list[tuple[Any, ...]]:
    """Set `values` in up to `limit` such rows, those first that waited longest, and give back
    `columns` of each, in no order: one statement, which commits by itself.

    Rows that another is taking are skipped where the database can.
    """
    using = router.db_for_write(model)
    connection = connections[using]
    where, params = _where(model, column, now, since, left_out, equal, connection)
    before, after, change = _claim_parts(model, column, tuple(values), tuple(columns), using)
    # No kept cursor: one plan for all limits and moments may read the whole table.
    with connection.cursor() as cursor:
        cursor.execute(f"{before}{where}{after}", [*params, limit, *change(list(values.values()))])
        rows = cursor.fetchall()
    return list(map(converters(model, tuple(columns), using), rows))


def _where(
    model: type[models.Model],
    column: str,
    now: datetime,
    since: datetime | None,
    left_out: LeftOut | None,
    equal: Mapping[str, Any],
    connection: Any,
) -> tuple[str, list[Any]]:
    moment = connection.ops.adapt_datetimefield_value
    params = [*equal.values(), moment(now)]
    if since is not None:
        params.append(moment(since))
    name = None
    if left_out and left_out[1]:
        name, keys = left_out
        adapt = adapter(model._meta.get_field(name), connection.vendor)
        adapted = [adapt(key) for key in keys] if adapt else list(keys)
        # One value, so that the text is the same for any number of them.
        params.append(adapted if connection.vendor == "postgresql" else as_json(adapted))
    sql = _where_sql(model, column, tuple(equal), since is not None, name, connection.alias)
    return sql, params


@functools.cache
def _where_sql(
    model: type[models.Model],
    column: str,
    equal: tuple[str, ...],
    has_since: bool,
    left_out: str | None,
    using: str,
) -> str:
    connection = connections[using]
    quote = connection.ops.quote_name
    conditions = [f"{quote(name)} = %s" for name in equal] + [f"{quote(column)} <= %s"]
    if has_since:
        conditions.append(f"{quote(column)} >= %s")
    if left_out is not None:
        field: Any = model._meta.get_field(left_out)
        name = quote(field.column)
        conditions.append(
            f"{name} <> ALL(%s)"
            if connection.vendor == "postgresql"
            else f"{name} NOT IN (SELECT value FROM json_each(%s))"  # noqa: S608 - as below
        )
    return " AND ".join(conditions)


@functools.cache
def _claim_parts(
    model: type[models.Model],
    column: str,
    values: tuple[str, ...],
    columns: tuple[str, ...],
    using: str,
) -> tuple[str, str, Changer]:
    """The statement before and after its condition, and what its values are changed by."""
    connection = connections[using]
    quote = connection.ops.quote_name
    set_fields: list[Any] = [model._meta.get_field(name) for name in values]
    returned = read_all([model._meta.get_field(name) for name in columns], connection)
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    locked = " FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update else ""
    new = ", ".join(f"{quote(field.column)} = %s" for field in set_fields)
    return (
        # Asked once, where a planner may ask a subquery of the UPDATE again for each row.
        f"WITH chosen (id) AS MATERIALIZED (SELECT {key} FROM {table} WHERE ",  # noqa: S608 - names of our own
        f" ORDER BY {quote(column)} LIMIT %s{locked})"  # noqa: S608 - as above
        f" UPDATE {table} SET {new} WHERE {key} IN (SELECT id FROM chosen) RETURNING {returned}",
        changer([adapter(field, connection.vendor) for field in set_fields]),
    )
