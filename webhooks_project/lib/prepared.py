"""Queries of the ORM whose SQL is made once, for those that every request asks.

Making the statement takes the ORM ten times as long as a database takes to answer it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.lib.sql.rows import Changer, changer, converter

MAX_VALUES: Final = 64  # of a query that is kept; one with more is made anew
KEPT_SHAPES: Final = 256

Value = UUID | str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a parameter's value stands among those given, and whether it is sent as hex."""

    position: int
    is_hex: bool


@dataclass(frozen=True, slots=True)
class _Statement:
    """`places` has a _Place for each parameter, or the parameter where it is always the same."""

    sql: str
    places: tuple[Any, ...]
    convert: Changer


class Prepared:
    """A query over lists of texts and of UUIDs, none of them empty.

    `build` makes a `values_list` queryset of columns of them; it may put a list into `__in` and
    nowhere else.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, tuple[Any, ...]]]) -> None:
        self._build = build
        self._statement = lru_cache(KEPT_SHAPES)(self._prepare)

    def rows(self, *lists: Sequence[Value]) -> list[tuple[Any, ...]]:
        """The rows for these values, as the queryset would give them."""
        values = [value for each in lists for value in each]
        if len(values) > MAX_VALUES:
            return list(self._build(*lists))
        shape = tuple((len(each), isinstance(each[0], UUID)) for each in lists)
        connection = connections[DEFAULT_DB_ALIAS]
        statement = self._statement(shape, connection.vendor)
        with kept_cursor(connection) as cursor:
            cursor.execute(statement.sql, [_at(place, values) for place in statement.places])
            return list(map(statement.convert, cursor.fetchall()))

    def _prepare(self, shape: tuple[tuple[int, bool], ...], vendor: str) -> _Statement:
        lists: list[list[Value]] = [
            [uuid4() if is_uuid else str(uuid4()) for _ in range(count)] for count, is_uuid in shape
        ]
        values = [value for each in lists for value in each]
        compiler = self._build(*lists).query.get_compiler(DEFAULT_DB_ALIAS)
        sql, params = compiler.as_sql()
        fields = [expression.output_field for expression, *_ in compiler.select]
        return _Statement(
            sql,
            tuple(_place(param, values) for param in params),
            changer([converter(field, connections[DEFAULT_DB_ALIAS]) for field in fields]),
        )


def _place(param: Any, values: Sequence[Value]) -> Any:
    for position, value in enumerate(values):
        if param == value:
            return _Place(position, is_hex=False)
        if isinstance(value, UUID) and param == value.hex:
            return _Place(position, is_hex=True)
    return param


def _at(place: Any, values: Sequence[Value]) -> Any:
    if not isinstance(place, _Place):
        return place
    value = values[place.position]
    return value.hex if place.is_hex and isinstance(value, UUID) else value
