"""Statements that Django's ORM does not write, or writes too slowly to be run many times a second.

For SQLite and PostgreSQL alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID, SafeUUID

import orjson
from django.db import connections, models, router
from django.db.models.expressions import RawSQL
from django.db.models.sql.subqueries import UpdateQuery

_UNKNOWN: Final = SafeUUID.unknown
INSERTED_TOGETHER: Final = 200  # rows of one statement: SQLite takes 32,766 values


def is_due(model: type[models.Model], column: str, now: datetime, **equal: Any) -> bool:
    """Whether a row has `column <= now` and the given values: an idle pump's look.

    The same by the ORM costs twenty times as much, and idle pumps look all day.
    """
    connection = connections[router.db_for_read(model)]
    with connection.cursor() as cursor:
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
    fields = [queryset.model._meta.get_field(name) for name in columns]
    quoted = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    with connection.cursor() as cursor:
        cursor.execute(f"{chosen}{sql} RETURNING {quoted}", [*chosen_params, *params])
        rows = cursor.fetchall()
    converters = _where_needed(_converter(field, connection) for field in fields)
    return [tuple(_changed(row, converters)) for row in rows]


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
    adapt = _adapter(model._meta.pk, connection.vendor)
    values = [adapt(key) for key in keys] if adapt else list(keys)
    sql, converters = _select_parts(model, tuple(columns), tuple(expressions), connection.alias)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"{sql} = ANY(%s)", [values])
        else:
            cursor.execute(f"{sql} IN ({', '.join(['%s'] * len(values))})", values)
        return [tuple(_changed(row, converters)) for row in cursor.fetchall()]


@functools.cache
def _select_parts(
    model: type[models.Model], columns: tuple[str, ...], expressions: tuple[str, ...], using: str
) -> tuple[str, list[tuple[int, Callable[[Any], Any]]]]:
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    names = ", ".join([*(quote(field.column) for field in fields), *expressions])
    table, key = quote(model._meta.db_table), quote(str(model._meta.pk.column))
    sql = f"SELECT {names} FROM {table} WHERE {key}"  # noqa: S608 - names of our own
    return sql, _where_needed(_converter(field, connection) for field in fields)


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
    value = object.__new__(UUID)
    object.__setattr__(value, "int", int(text, 16))
    object.__setattr__(value, "is_safe", _UNKNOWN)
    return value


def _value_of_json(text: Any) -> Any:
    return orjson.loads(text) if isinstance(text, str | bytes) else text


def _utc_of_text(value: datetime | str) -> datetime:
    # The driver parses a column that it knows the type of, and RETURNING's it may not.
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return moment.replace(tzinfo=UTC)


def insert_rows(
    model: type[models.Model], columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """INSERT many rows: executemany on SQLite, COPY on PostgreSQL.

    `bulk_create` spends 70 µs a row on the model instances and the compiler; this does not. Values
    are plain Python values in the order of `columns`; defaults of the model are not applied.
    """
    connection = connections[router.db_for_write(model)]
    table, names, changes = _insert_parts(model, tuple(columns), connection.alias)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # A copy goes past Django, which would say IntegrityError for the driver's own.
            with (
                connection.wrap_database_errors,
                cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy,
            ):
                for row in rows:
                    copy.write_row(_changed(row, changes))
        else:
            cursor.executemany(_insert_sql(table, names), [_changed(row, changes) for row in rows])


def insert_instance(instance: models.Model) -> None:
    """INSERT one instance with every field as it is, by a statement made once for its model.

    For rows that come by the thousand: `save` makes the statement anew each time. No signals, no
    `auto_now`; the key must be set. Raises what `save(force_insert=True)` raises.
    """
    model = type(instance)
    connection = connections[router.db_for_write(model)]
    columns = _columns(model)
    table, names, changes = _insert_parts(model, columns, connection.alias)
    values = instance.__dict__
    with connection.cursor() as cursor:
        cursor.execute(
            _insert_sql(table, names), _changed([values[name] for name in columns], changes)
        )


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
    table, quoted, changes = _insert_parts(model, names, connection.alias)
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    returned = ", ".join(connection.ops.quote_name(field.column) for field in fields)
    converters = _where_needed(_converter(field, connection) for field in fields)
    found: list[tuple[Any, ...]] = []
    for start in range(0, len(instances), INSERTED_TOGETHER):
        part = instances[start : start + INSERTED_TOGETHER]
        sql = f"{_insert_sql(table, quoted, len(part))} ON CONFLICT DO NOTHING RETURNING {returned}"
        values = [
            value
            for instance in part
            for value in _changed([instance.__dict__[name] for name in names], changes)
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found.extend(tuple(_changed(row, converters)) for row in cursor.fetchall())
    return found


@functools.cache
def _columns(model: type[models.Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields)


@functools.cache
def _insert_parts(
    model: type[models.Model], columns: tuple[str, ...], using: str
) -> tuple[str, str, list[tuple[int, Callable[[Any], Any]]]]:
    """The table and the columns, quoted, and how values have to be changed for the database."""
    connection = connections[using]
    quote = connection.ops.quote_name
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    return (
        quote(model._meta.db_table),
        ", ".join(quote(field.column) for field in fields),
        _where_needed(_adapter(field, connection.vendor) for field in fields),
    )


@functools.lru_cache(maxsize=1024)
def _insert_sql(table: str, names: str, rows: int = 1) -> str:
    marks = ", ".join(["%s"] * (names.count(", ") + 1))
    values = ", ".join([f"({marks})"] * rows)
    return f"INSERT INTO {table} ({names}) VALUES {values}"  # noqa: S608 - names of our own


def _where_needed(
    functions: Iterable[Callable[[Any], Any] | None],
) -> list[tuple[int, Callable[[Any], Any]]]:
    return [(index, change) for index, change in enumerate(functions) if change is not None]


def _changed(row: Sequence[Any], changes: Sequence[tuple[int, Callable[[Any], Any]]]) -> list[Any]:
    values = list(row)
    for index, change in changes:
        if values[index] is not None:
            values[index] = change(values[index])
    return values


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
