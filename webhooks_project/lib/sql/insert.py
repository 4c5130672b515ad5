"""Rows that are stored by the hundred."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Final

from django.db import connections, models, router, transaction

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.sql.rows import Changer, adapter, changer, converters, read_all

INSERTED_TOGETHER: Final = 200  # rows of one statement: SQLite takes 32,766 values


def insert_rows(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """INSERT many rows: executemany on SQLite, COPY on PostgreSQL.

    `bulk_create` spends 70 µs a row on the model instances and the compiler; this does not. Values
    are plain Python values in the order of `columns`; defaults of the model are not applied.
    """
    connection = connections[router.db_for_write(model)]
    table, names, change = _insert_parts(model, tuple(columns), connection.alias)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A copy goes past Django, which would say IntegrityError for the driver's own.
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(change(row))
        else:
            cursor.executemany(_insert_sql(table, names), list(map(change, rows)))


def insert_instance(
    instance: models.Model, *, along: tuple[str, Sequence[Any]] | None = None
) -> None:
    """INSERT one instance with every field as it is, by a statement made once for its model.

    For rows that come by the thousand: `save` makes the statement anew each time. No signals, no
    `auto_now`; the key must be set. Raises what `save(force_insert=True)` raises. `along` is
    another INSERT with its values, that is stored with it or not at all; on PostgreSQL both are one
    statement, and one round trip.
    """
    model = type(instance)
    connection = connections[router.db_for_write(model)]
    columns = _columns(model)
    table, names, change = _insert_parts(model, columns, connection.alias)
    values = instance.__dict__
    sql, row = _insert_sql(table, names), change([values[name] for name in columns])
    if along is None:
        with kept_cursor(connection) as cursor:
            cursor.execute(sql, row)
    elif connection.vendor == "postgresql":
        with kept_cursor(connection) as cursor:
            cursor.execute(f"WITH along AS ({along[0]}) {sql}", [*along[1], *row])
    else:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(sql, row)
            cursor.execute(*along)


def insert_instances(instances: Sequence[models.Model]) -> None:
    """INSERT instances of one model as `insert_instance` does; more than one by `insert_rows`."""
    if len(instances) <= 1:
        for instance in instances:
            insert_instance(instance)
        return
    model = type(instances[0])
    columns = _columns(model)
    insert_rows(
        model,
        columns,
        ([instance.__dict__[name] for name in columns] for instance in instances),
    )


def insert_new(instances: Sequence[models.Model], columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """INSERT instances as `insert_instance` does, save those that a unique constraint forbids.

    Returns `columns` of those that were stored.
    """
    if not instances:
        return []
    model = type(instances[0])
    connection = connections[router.db_for_write(model)]
    names = _columns(model)
    table, quoted, change = _insert_parts(model, names, connection.alias)
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    returned = read_all(fields, connection)
    convert = converters(model, tuple(columns), connection.alias)
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(instances), INSERTED_TOGETHER):
        part = instances[start : start + INSERTED_TOGETHER]
        sql = f"{_insert_sql(table, quoted, len(part))} ON CONFLICT DO NOTHING RETURNING {returned}"
        values = [
            value
            for instance in part
            for value in change([instance.__dict__[name] for name in names])
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found.extend(map(convert, cursor.fetchall()))
    return found


@functools.cache
def _columns(model: type[models.Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields)


@functools.cache
def _insert_parts(
    model: type[models.Model], columns: tuple[str, ...], using: str
) -> tuple[str, str, Changer]:
    """The table and the columns, quoted, and how values have to be changed for the database."""
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    return (
        quote(model._meta.db_table),
        ", ".join(quote(field.column) for field in fields),
        changer([adapter(field, connection.vendor) for field in fields]),
    )


@functools.lru_cache(maxsize=1024)
def _insert_sql(table: str, names: str, rows: int = 1) -> str:
    marks = ", ".join(["%s"] * (names.count(", ") + 1))
    values = ", ".join([f"({marks})"] * rows)
    return f"INSERT INTO {table} ({names}) VALUES {values}"  # noqa: S608 - names of our own
