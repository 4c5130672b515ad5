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


@dataclass(frozen=True)
class _Statement:
    """`places` has a _Place for each parameter, or the parameter where it is always the same."""

    sql: str
    places: tuple[Any, ...]
    convert: Changer
    width: int  # columns

    def params(self, values: Sequence[Value]) -> list[Any]:
        return [_at(place, values) for place in self.places]


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
        statement = self._statement_for(lists)
        with kept_cursor(connections[DEFAULT_DB_ALIAS]) as cursor:
            cursor.execute(statement.sql, statement.params(values))
            return list(map(statement.convert, cursor.fetchall()))

    def _statement_for(self, lists: Sequence[Sequence[Value]]) -> _Statement:
        shape = tuple((len(each), isinstance(each[0], UUID)) for each in lists)
        return self._statement(shape, connections[DEFAULT_DB_ALIAS].vendor)

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
            len(fields),
        )


def rows_of_both(
    first: Prepared,
    lists: Sequence[Sequence[Value]],
    second: Prepared,
    second_lists: Sequence[Sequence[Value]],
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of two queries, asked in one statement and one round trip."""
    values = [value for each in lists for value in each]
    others = [value for each in second_lists for value in each]
    if max(len(values), len(others)) > MAX_VALUES:
        return first.rows(*lists), second.rows(*second_lists)
    one, other = first._statement_for(lists), second._statement_for(second_lists)
    rows: list[tuple[Any, ...]] = []
    other_rows: list[tuple[Any, ...]] = []
    with kept_cursor(connections[DEFAULT_DB_ALIAS]) as cursor:
        cursor.execute(
            _sql_of_both(one.sql, one.width, other.sql, other.width),
            one.params(values) + other.params(others),
        )
        for row in cursor.fetchall():
            if row[0]:
                other_rows.append(other.convert(row[1 + one.width :]))
            else:
                rows.append(one.convert(row[1 : 1 + one.width]))
    return rows, other_rows


@lru_cache(KEPT_SHAPES)
def _sql_of_both(one: str, width: int, other: str, other_width: int) -> str:
    """Each row has the columns of both, NULL where they are the other's, and before them which."""
    before, after = "NULL, " * width, ", NULL" * other_width
    return (
        f"SELECT 0, one.*{after} FROM ({one}) AS one"  # noqa: S608 - statements of our own
        f" UNION ALL SELECT 1, {before}other.* FROM ({other}) AS other"
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
