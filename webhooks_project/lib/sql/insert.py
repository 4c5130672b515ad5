"""Rows that are stored by the hundred."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connections, models, router, transaction

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.sql.rows import Changer, Condition, adapter, changer, converters, read_all

INSERTED_TOGETHER: Final = 200  # rows of one statement: SQLite takes 32,766 values
NO_CONDITION: Final = Condition("TRUE", ())
FEW: Final = 8  # rows for which each number of them has a statement that is kept
ONE_BYTES: Final = 64 * 1024 * 1024  # of bytes in one statement, which sends each as two letters
FEW_PARTS: Final = 4  # rows of either of two tables for which each pair of numbers has one


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
    """INSERT instances of one model as `insert_instance` does; many by `insert_rows`."""
    if len(instances) <= 1:
        for instance in instances:
            insert_instance(instance)
        return
    model = type(instances[0])
    columns = _columns(model)
    connection = connections[router.db_for_write(model)]
    if len(instances) <= FEW and connection.vendor == "postgresql":
        # One round trip, where a copy takes three.
        table, names, change = _insert_parts(model, columns, connection.alias)
        with kept_cursor(connection) as cursor:
            cursor.execute(
                _insert_sql(table, names, len(instances)),
                _values(instances, columns, change),
            )
        return
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
        values = _values(part, names, change)
        with kept_cursor(connection) if len(part) <= FEW else connection.cursor() as cursor:
            cursor.execute(sql, values)
            found.extend(map(convert, cursor.fetchall()))
    return found


def _values(
    instances: Sequence[models.Model], columns: Sequence[str], change: Changer
) -> list[Any]:
    """Of one instance after the other."""
    return [
        value
        for instance in instances
        for value in change([instance.__dict__[name] for name in columns])
    ]


def insert_new_with(
    instances: Sequence[models.Model],
    parts: Sequence[models.Model],
    *,
    by: str,
    condition: Condition | None = None,
) -> set[Any] | None:
    """INSERT instances as `insert_new` does, and those `parts`, of another model, whose `by` is the
    key of one that was stored: all of it or nothing. Returns the keys of the stored instances.

    With a condition that does not hold nothing is stored, and None is returned. On PostgreSQL all
    of it is one statement, which begins and commits by itself, save where it has ONE_BYTES or more.
    """
    if not instances:
        return set()
    connection = connections[router.db_for_write(type(instances[0]))]
    if connection.vendor == "postgresql" and _bytes_of(instances) < ONE_BYTES:
        return _insert_in_one(instances, parts, by, condition, connection)
    # In a transaction of the caller's a failure spoils that, and so leaves no half of this.
    with transaction.atomic(using=connection.alias, savepoint=False):
        if condition is not None and not _holds(condition, connection):
            return None
        stored = {key for (key,) in insert_new(instances, ("id",))}
        insert_instances([part for part in parts if getattr(part, by) in stored])
    return stored


def _bytes_of(instances: Sequence[models.Model]) -> int:
    fields = type(instances[0])._meta.concrete_fields
    names = [field.attname for field in fields if isinstance(field, models.BinaryField)]
    return sum(len(one.__dict__[name]) for one in instances for name in names)


def _holds(condition: Condition, connection: Any) -> bool:
    with kept_cursor(connection) as cursor:
        cursor.execute(f"SELECT 1 WHERE {condition.sql}", condition.params)
        return cursor.fetchone() is not None


def _insert_in_one(
    instances: Sequence[models.Model],
    parts: Sequence[models.Model],
    by: str,
    condition: Condition | None,
    connection: Any,
) -> set[Any] | None:
    asked = condition or NO_CONDITION
    is_few = len(instances) <= FEW_PARTS >= len(parts)
    sql = _insert_in_one_sql(
        type(instances[0]),
        type(parts[0]) if parts else None,
        by,
        asked.sql,
        (len(instances), len(parts)) if is_few else None,
    )
    params = [*asked.params, *_given(instances, is_few=is_few), *_given(parts, is_few=is_few)]
    # A caller's transaction whose part this is must not be committed by who passes over the error.
    with (
        transaction.mark_for_rollback_on_error(using=connection.alias),
        kept_cursor(connection) as cursor,
    ):
        cursor.execute(sql, params)
        found = {key for (key,) in cursor.fetchall()}
    return None if None in found else found


@functools.lru_cache(maxsize=1024)
def _insert_in_one_sql(
    model: type[models.Model],
    part_model: type[models.Model] | None,
    by: str,
    condition: str,
    few: tuple[int, int] | None,
) -> str:
    """A statement that gives the keys of what it stored, or NULL where the condition fails.

    For so `few` rows, or for any number of them.
    """
    rows, parts = few or (None, None)
    inserted = _insert_given_sql(model, rows, "(SELECT holds FROM asked)")
    sql = (
        f"WITH asked AS MATERIALIZED (SELECT ({condition}) AS holds), "
        f"stored AS ({inserted} ON CONFLICT DO NOTHING RETURNING id)"
    )
    if part_model is not None:
        among = f"{by} IN (SELECT id FROM stored)"  # noqa: S608 - names of our own
        sql += f", parts AS ({_insert_given_sql(part_model, parts, among)})"
    return f"{sql} SELECT id FROM stored UNION ALL SELECT NULL FROM asked WHERE NOT holds"  # noqa: S608 - as above


def _insert_given_sql(model: type[models.Model], rows: int | None, where: str) -> str:
    """An INSERT of those of the given rows that a condition is true of; PostgreSQL's.

    A few have a mark for each of their values. Of more, which would be another text for each number
    of them, and for the driver 3 ms of work with those of 50 events, all are one value.
    """
    connection = connections[router.db_for_write(model)]
    table, names, _ = _insert_parts(model, _columns(model), connection.alias)
    fields: list[Any] = list(model._meta.concrete_fields)
    if rows is None:
        quote = connection.ops.quote_name
        types = ", ".join(f"{quote(field.column)} {field.db_type(connection)}" for field in fields)
        given = f"json_to_recordset(%s::json) AS given ({types})"
    else:
        marks = ", ".join(f"%s::{field.db_type(connection)}" for field in fields)
        given = f"(VALUES {', '.join([f'({marks})'] * rows)}) AS given ({names})"
    return f"INSERT INTO {table} ({names}) SELECT {names} FROM {given} WHERE {where}"  # noqa: S608 - as above


def _given(instances: Sequence[models.Model], *, is_few: bool) -> list[Any]:
    """The parameters of `_insert_given_sql`."""
    if not instances:
        return []
    model = type(instances[0])
    columns = _columns(model)
    if is_few:
        _, _, change = _insert_parts(model, columns, router.db_for_write(model))
        return _values(instances, columns, change)
    names, change = _record_parts(model)
    rows = (change([one.__dict__[name] for name in columns]) for one in instances)
    records = [dict(zip(names, row, strict=True)) for row in rows]
    return [orjson.dumps(records, default=_key_text).decode()]


@functools.cache
def _record_parts(model: type[models.Model]) -> tuple[tuple[str, ...], Changer]:
    """The names in a row's JSON object, and how values have to be changed for it."""
    fields: list[Any] = list(model._meta.concrete_fields)
    return (
        tuple(field.column for field in fields),
        changer([_record_change(field) for field in fields]),
    )


def _record_change(field: Any) -> Callable[[Any], str] | None:
    target = field.target_field if field.is_relation else field
    if isinstance(target, models.BinaryField):
        return _as_hex
    if isinstance(target, models.DateTimeField):
        return _as_utc_text
    return None


def _as_utc_text(value: datetime) -> str:
    # orjson leaves out the seconds of an offset, which time zones of the past have.
    return (value if value.tzinfo is UTC else value.astimezone(UTC)).isoformat()


def _key_text(value: Any) -> str:
    """Of a subclass of UUID, which orjson does not know."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"no column takes {type(value).__name__}")


def _as_hex(value: bytes) -> str:
    """The text that PostgreSQL reads bytes from."""
    return f"\\x{value.hex()}"


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
