"""Statements that Django's ORM does not write, or writes too slowly to be run many times a second.

For SQLite and PostgreSQL alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connections, models, router, transaction
from django.db.models.expressions import RawSQL
from django.db.models.sql.subqueries import UpdateQuery

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.ids import uuid_of_int

Changer = Callable[[Sequence[Any]], tuple[Any, ...]]
INSERTED_TOGETHER: Final = 200  # rows of one statement: SQLite takes 32,766 values


def is_due(model: type[models.Model], column: str, now: datetime, **equal: Any) -> bool:
    """Whether a row has `column <= now` and the given values: an idle pump's look.

    The same by the ORM costs twenty times as much, and idle pumps look all day.
    """
    connection = connections[router.db_for_read(model)]
    with kept_cursor(connection) as cursor:
        cursor.execute(
            _is_due_sql(model, column, tuple(equal), connection.alias),
            [*equal.values(), connection.ops.adapt_datetimefield_value(now)],
        )
        return cursor.fetchone() is not None


@functools.cache
def _is_due_sql(model: type[models.Model], column: str, equal: tuple[str, ...], using: str) -> str:
    quote = connections[using].ops.quote_name
    conditions = [f"{quote(name)} = %s" for name in equal] + [f"{quote(column)} <= %s"]
    table = quote(model._meta.db_table)
    return f"SELECT 1 FROM {table} WHERE {' AND '.join(conditions)} LIMIT 1"  # noqa: S608 - as below


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
    quoted = _read_all(fields, connection)
    with connection.cursor() as cursor:
        cursor.execute(f"{chosen}{sql} RETURNING {quoted}", [*chosen_params, *params])
        rows = cursor.fetchall()
    model: type[models.Model] = queryset.model
    return list(map(_converters(model, tuple(columns), using), rows))


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
    chosen, params = _among(model, keys, connection)
    with kept_cursor(connection) as cursor:
        cursor.execute(f"{sql} {chosen} RETURNING {key}", [*change(given), *params])
        rows = cursor.fetchall()
    if len(rows) == len(keys):
        return keys
    convert = _converters(model, (model._meta.pk.name,), connection.alias)
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
        _changer([_adapter(fields[name], connection.vendor) for name in (*columns, *equal)]),
    )


def _among(
    model: type[models.Model], keys: Collection[Any], connection: Any
) -> tuple[str, list[Any]]:
    """The rest of a condition on the key, and its parameters."""
    adapt = _adapter(model._meta.pk, connection.vendor)
    values = [adapt(key) for key in keys] if adapt else list(keys)
    if connection.vendor == "postgresql":
        return "= ANY(%s)", [values]
    return f"IN ({', '.join(['%s'] * len(values))})", values


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
    chosen, params = _among(model, keys, connection)
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
    names = ", ".join([_read_all(fields, connection), *expressions])
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    sql = f"SELECT {names} FROM {table} WHERE {key}"  # noqa: S608 - names of our own
    return sql, _converters(model, columns, using, len(expressions))


def _read_all(fields: Iterable[Any], connection: Any) -> str:
    """How columns are asked for: a moment of SQLite's as the text that it is, since Django's own
    converter of those takes longer than ours."""
    quote = connection.ops.quote_name
    return ", ".join(
        f"{quote(field.column)} || ''"
        if connection.vendor == "sqlite" and isinstance(field, models.DateTimeField)
        else quote(field.column)
        for field in fields
    )


@functools.cache
def _converters(
    model: type[models.Model], columns: tuple[str, ...], using: str, expressions: int = 0
) -> Changer:
    """What turns a row of these columns, and of expressions after them, into Python's values."""
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    connection = connections[using]
    return _changer([*(_converter(field, connection) for field in fields), *[None] * expressions])


def _converter(field: Any, connection: Any) -> Callable[[Any], Any] | None:
    """What turns the database's value of this field into Python's; None where they are the same."""
    target = field.target_field if field.is_relation else field
    # Django's own converters of these two take ten times as long, and a claim has six of them.
    if connection.vendor == "sqlite" and isinstance(target, models.UUIDField):
        return _uuid_of_hex
    if connection.vendor == "sqlite" and isinstance(target, models.DateTimeField):
        return _utc_of_text
    if isinstance(target, models.JSONField):
        return _value_of_json
    column = target.get_col(target.model._meta.db_table)
    found = connection.ops.get_db_converters(column) + target.get_db_converters(connection)
    if not found:
        return None
    return lambda value: functools.reduce(
        lambda result, convert: convert(result, column, connection), found, value
    )


# One object for each key that comes again: of the same, a mapping does not ask whether it is equal.
@functools.lru_cache(maxsize=8192)
def _uuid_of_hex(text: str) -> UUID:
    """`UUID(hex=text)` for 32 hex digits, without the checks of what the database holds anyway."""
    return uuid_of_int(int(text, 16))


def _value_of_json(text: Any) -> Any:
    return orjson.loads(text) if isinstance(text, str | bytes) else text


def _utc_of_text(value: datetime | str) -> datetime:
    # The driver parses a column that it knows the type of, and RETURNING's it may not.
    if isinstance(value, str):
        return datetime.fromisoformat(value + "+00:00")
    return value.replace(tzinfo=UTC)


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
    returned = _read_all(fields, connection)
    convert = _converters(model, tuple(columns), connection.alias)
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
        _changer([_adapter(field, connection.vendor) for field in fields]),
    )


@functools.lru_cache(maxsize=1024)
def _insert_sql(table: str, names: str, rows: int = 1) -> str:
    marks = ", ".join(["%s"] * (names.count(", ") + 1))
    values = ", ".join([f"({marks})"] * rows)
    return f"INSERT INTO {table} ({names}) VALUES {values}"  # noqa: S608 - names of our own


def _changer(functions: Sequence[Callable[[Any], Any] | None]) -> Changer:
    """A function that changes the values of a row, each by its own; NULL stays as it is.

    Made of source text, as a named tuple is: a loop over the columns takes three times as long.
    """
    values = [
        f"row[{index}]"
        if change is None
        else f"(None if row[{index}] is None else change_{index}(row[{index}]))"
        for index, change in enumerate(functions)
    ]
    changes = {f"change_{index}": change for index, change in enumerate(functions) if change}
    made: Changer = eval(f"lambda row: ({', '.join(values)},)", changes)  # noqa: S307 - our own text
    return made


def _adapter(field: Any, vendor: str) -> Any:
    target = field.target_field if field.is_relation else field
    if isinstance(target, models.JSONField):
        return _as_json
    if vendor == "sqlite":
        if isinstance(target, models.UUIDField):
            return _as_hex
        if isinstance(target, models.DateTimeField):
            return _as_naive_text
    return None


def _as_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _as_hex(value: Any) -> str:
    return str(value.hex)


def _as_naive_text(value: datetime) -> str:
    # Django keeps UTC without its offset in SQLite.
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    return moment.isoformat(sep=" ")[:-6]
