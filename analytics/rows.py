"""Reading and writing rows of rollups by the hundred, under the lock of those who count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from django.db import connections, router, transaction
from django.db.models import Q, QuerySet

from analytics.models import Horizon, Rollup, Scope
from analytics.periods import Grain
from analytics.tallies import Key, Place, Series, Tally, id_of
from webhooks_project.lib.sql import insert_rows, select_by_key

_LOCK: Final = 0x726F6C6C  # one for all hubs of a database server's database
_TOGETHER: Final = 500
WIDE: Final = (Scope.HUB, Scope.ACCOUNT)

Stored = dict[datetime, dict[Key, Tally]]


@contextmanager
def counting() -> Iterator[None]:
    """A transaction in which nobody else changes rollups."""
    with transaction.atomic():
        connection = connections[router.db_for_write(Rollup)]
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        # SQLite has one writer at a time, from a transaction's beginning.
        yield


@contextmanager
def small_questions() -> Iterator[None]:
    """Have PostgreSQL answer some thousands of rows at once by the plain way.

    The rows are wide and look dear to it: compiling the statement, and starting other processes
    for it, takes longer than the answer.
    """
    connection = connections[router.db_for_read(Rollup)]
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=connection.alias, savepoint=False):
        with connection.cursor() as cursor:
            cursor.execute(
                "SET LOCAL jit = off; SET LOCAL max_parallel_workers_per_gather = 0; "
                "SET LOCAL cursor_tuple_fraction = 1"
            )
        yield


def horizons() -> dict[tuple[Grain, bool], datetime]:
    """From when on each grain is whole, for the wide scopes and for the rest; absent: always."""
    rows = Horizon.objects.values_list("grain", "is_wide", "since")
    return {(Grain(grain), is_wide): since for grain, is_wide, since in rows}


def stored_tallies(
    series: Series,
    scope: Scope,
    grain: Grain,
    periods: Collection[datetime],
    condition: Q | None = None,
) -> Stored:
    """The rows of one scope and grain in these periods."""
    found: Stored = {}
    names = series.key._fields
    wanted = sorted(periods)
    for start in range(0, len(wanted), _TOGETHER):
        rows = series.model._default_manager.filter(
            condition or Q(), scope=scope, grain=grain, at__in=wanted[start : start + _TOGETHER]
        )
        columns: Any = rows.order_by().values_list("at", *names, *series.tally.COLUMNS)
        for at, *values in columns.iterator(chunk_size=2_000):
            key = series.key(*values[: len(names)])
            found.setdefault(at, {})[key] = series.tally.of_columns(tuple(values[len(names) :]))
    return found


def grouped(
    rows: QuerySet[Any], group_by: Sequence[str], made: Mapping[str, Any]
) -> Iterator[Sequence[Any]]:
    """The columns grouped by, and after them what is made of each group."""
    if group_by:
        yield from rows.values_list(*group_by).annotate(**made).iterator(chunk_size=2_000)
        return
    found = rows.aggregate(**made)
    yield [found[name] for name in made]


def rows_and_keys(
    rows: QuerySet[Any, Any], count: int
) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """Of a list of values the last `count`, as the database has them, and those before.

    Those are turned into Python's once for each combination: of many rows they are the same.
    """
    connection = connections[rows.db]
    compiler = rows.query.get_compiler(connection=connection, elide_empty=False)
    sql, params = compiler.as_sql()
    converters = compiler.get_converters([column[0] for column in compiler.select])

    @cache
    def turned(key: tuple[Any, ...]) -> tuple[Any, ...]:
        found = list(key)
        for index, (functions, expression) in converters.items():
            if index < len(found):
                for function in functions:
                    found[index] = function(found[index], expression, connection)
        return tuple(found)

    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        while part := cursor.fetchmany(2_000):
            for values in part:
                yield turned(values[:-count]), values[-count:]


def add_to_rows(series: Series, sums: Mapping[Place, Tally]) -> int:
    """Add tallies to the rows of their places; make those that are missing. Returns how many."""
    by_id = {id_of(place): place for place in sums}
    ids = list(by_id)
    for start in range(0, len(ids), _TOGETHER):
        part = ids[start : start + _TOGETHER]
        known = select_by_key(series.model, part, ("id", *series.tally.COLUMNS))
        for key, *values in known:
            tally: Any = sums[by_id[key]]
            tally.add(series.tally.of_columns(tuple(values)))
        delete_ids(series, [row[0] for row in known])
        insert_places(series, ((key, by_id[key], sums[by_id[key]]) for key in part))
    return len(ids)


def insert_places(series: Series, rows: Iterable[tuple[UUID, Place, Tally]]) -> None:
    insert_rows(
        series.model,
        series.columns,
        (
            (key, int(place[0]), int(place[1]), place[2], *place[3], *tally.columns())
            for key, place, tally in rows
        ),
    )


def delete_ids(series: Series, ids: Sequence[UUID]) -> None:
    for start in range(0, len(ids), _TOGETHER):
        rows = series.model._default_manager.filter(pk__in=ids[start : start + _TOGETHER])
        rows._raw_delete(rows.db)
