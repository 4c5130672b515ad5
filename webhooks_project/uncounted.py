"""Marks of what is not counted yet: written with what is to be counted, read by who counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

from django.db import connections, router, transaction
from django.db.models import Min

from webhooks_project.lib.cursors import kept_cursor
from webhooks_project.models import Uncounted

Kind = Uncounted.Kind
MAX_THINNED: Final = 100_000  # marks in one transaction
MAX_PARTS: Final = 50  # transactions of a call; the next hour's goes on
MIN_FEWER: Final = 1_000  # fewer than these are no burden
DELETED_TOGETHER: Final = 1_000
SETTLED: Final = timedelta(hours=1)  # a minute that long ago gets no more rows, but by a late one
MARKS_KEEP: Final = timedelta(days=7)  # for longer nothing is kept for a count that never comes


def mark_uncounted(kind: Kind, moments: Iterable[datetime]) -> None:
    """Say that the minutes of these moments are to be counted (again).

    In the transaction that stores what has them: a mark that commits before could be taken away by
    a count that does not see its rows, and one that commits after could be lost. Returns at once
    for no moments; one statement otherwise.
    """
    mark = mark_of(kind, moments)
    if mark is None:
        return
    with kept_cursor(connections[router.db_for_write(Uncounted)]) as cursor:
        cursor.execute(*mark)


def mark_of(kind: Kind, moments: Iterable[datetime]) -> tuple[str, list[Any]] | None:
    """The statement that makes the mark, and its values, for who runs it with another; None for no
    moments."""
    minutes = _minutes_of(list(moments))
    if not minutes:
        return None
    connection = connections[router.db_for_write(Uncounted)]
    adapt = connection.ops.adapt_datetimefield_value
    values = [value for minute in sorted(minutes) for value in (kind.value, adapt(minute))]
    return _insert_sql(len(minutes), connection.alias), values


def _minutes_of(moments: Sequence[datetime]) -> set[datetime]:
    if not moments:
        return set()
    ends = {moment.replace(second=0, microsecond=0) for moment in (min(moments), max(moments))}
    if len(ends) == 1:  # as nearly always, and to compare takes a tenth of what it takes to change
        return ends
    return {moment.replace(second=0, microsecond=0) for moment in moments}


def thin_out() -> int:
    """Put one new mark in the place of each minute's many. Returns by how many they became fewer.

    For a hub on which nobody counts: otherwise their number is bounded by what one minute commits.
    A new one, since a count that has read an old one may already have read the rows: it takes that
    one away, and only that.
    """
    latest = Uncounted.objects.order_by("-pk").values_list("pk", flat=True).first()
    fewer, after = 0, 0
    for _ in range(MAX_PARTS):
        if latest is None or after >= latest:
            break
        less, after = _thin_out_part(after, latest)
        fewer += less
    return fewer


@transaction.atomic
def _thin_out_part(after: int, latest: int) -> tuple[int, int]:
    """The next marks up to `latest`. Returns by how many they became fewer, and the last one."""
    rows = list(
        Uncounted.objects.filter(pk__gt=after, pk__lte=latest)
        .order_by("pk")
        .values_list("pk", "kind", "minute")[:MAX_THINNED]
    )
    if not rows:
        return 0, latest
    minutes = {(kind, minute) for _, kind, minute in rows}
    fewer = len(rows) - len(minutes)
    if fewer < MIN_FEWER:
        return 0, rows[-1][0]
    for kind in Kind:
        mark_uncounted(kind, (minute for each, minute in minutes if each == kind))
    delete_marks([pk for pk, _, _ in rows])
    return fewer, rows[-1][0]


def counted_before(kind: Kind, now: datetime) -> datetime:
    """The moment before which nothing is to be counted any more: what happened there may be pruned.

    An hour ago, or the oldest minute that is marked; at most MARKS_KEEP ago, so that a hub on which
    nobody counts is pruned all the same. A minute that is pruned in part, and has more later, would
    be taken for one that was counted.
    """
    marked = Uncounted.objects.filter(kind=kind, minute__gte=now - MARKS_KEEP)
    oldest: datetime | None = marked.aggregate(oldest=Min("minute"))["oldest"]
    settled = (now - SETTLED).replace(second=0, microsecond=0)
    return settled if oldest is None else min(settled, oldest)


def delete_marks(ids: Sequence[int]) -> None:
    for start in range(0, len(ids), DELETED_TOGETHER):
        rows = Uncounted.objects.filter(pk__in=ids[start : start + DELETED_TOGETHER])
        rows._raw_delete(rows.db)


@cache
def _insert_sql(rows: int, using: str) -> str:
    table = connections[using].ops.quote_name(Uncounted._meta.db_table)
    marks = ", ".join(["(%s, %s)"] * rows)
    return f"INSERT INTO {table} (kind, minute) VALUES {marks}"  # noqa: S608 - names of our own
