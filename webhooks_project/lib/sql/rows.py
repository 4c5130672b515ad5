"""Rows between Python and the database, without the ORM's own converters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db import connections, models
from django.db.models.base import ModelState

from webhooks_project.lib.ids import uuid_of_int

Instance = TypeVar("Instance", bound=models.Model)
Changer = Callable[[Sequence[Any]], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL that is true or false, and its parameters as the database takes them."""

    sql: str
    params: Sequence[Any]


def among(
    model: type[models.Model], keys: Collection[Any], connection: Any
) -> tuple[str, list[Any]]:
    """The rest of a condition on the key, and its parameters."""
    adapt = adapter(model._meta.pk, connection.vendor)
    values = [adapt(key) for key in keys] if adapt else list(keys)
    if connection.vendor == "postgresql":
        if isinstance(model._meta.pk, models.UUIDField):
            # As text that is made here: the driver writes a list one value at a time.
            return "= ANY(%s::uuid[])", [f"{{{','.join([key.hex for key in values])}}}"]
        return "= ANY(%s)", [values]
    return f"IN ({', '.join(['%s'] * len(values))})", values


def read_all(fields: Iterable[Any], connection: Any) -> str:
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
def converters(
    model: type[models.Model], columns: tuple[str, ...], using: str, expressions: int = 0
) -> Changer:
    """What turns a row of these columns, and of expressions after them, into Python's values."""
    fields: list[Any] = [model._meta.get_field(name) for name in columns]
    connection = connections[using]
    return changer([*(converter(field, connection) for field in fields), *[None] * expressions])


def converter(field: Any, connection: Any) -> Callable[[Any], Any] | None:
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


def changer(functions: Sequence[Callable[[Any], Any] | None]) -> Changer:
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


def instance_of(model: type[Instance], /, **values: Any) -> Instance:
    """`model(**values)` for values by the names of their columns; it sends no signals.

    By itself Django sets one after the other, by a descriptor each: four times as long.
    """
    made = model.__new__(model)
    made._state = ModelState()
    constant, made_anew = _defaults(model)
    made.__dict__.update(constant)
    made.__dict__.update(values)
    for name, default in made_anew:
        if name not in values:
            made.__dict__[name] = default()
    return made


@functools.cache
def _defaults(
    model: type[models.Model],
) -> tuple[dict[str, Any], list[tuple[str, Callable[[], Any]]]]:
    """The columns' defaults: values that nobody changes, and what makes one each time."""
    constant: dict[str, Any] = {}
    made_anew: list[tuple[str, Callable[[], Any]]] = []
    for field in model._meta.concrete_fields:
        if callable(field.default):
            made_anew.append((field.attname, field.get_default))
        constant[field.attname] = None if callable(field.default) else field.get_default()
    return constant, made_anew


def adapter(field: Any, vendor: str) -> Any:
    target = field.target_field if field.is_relation else field
    if isinstance(target, models.JSONField):
        return as_json
    if vendor == "sqlite":
        if isinstance(target, models.UUIDField):
            return _as_hex
        if isinstance(target, models.DateTimeField):
            return _as_naive_text
    return None


def as_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _as_hex(value: Any) -> str:
    return str(value.hex)


def _as_naive_text(value: datetime) -> str:
    # Django keeps UTC without its offset in SQLite.
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    return str(moment)[:-6]
