"""Counting what is marked as not counted yet, each attempt and receipt exactly once.

Marks are read first, then the rows; whole minutes are counted anew, and what is more than before
is added to the minutes, hours, days and months in one transaction with the deletion of the marks
that were read. So a crash at whatever point leaves the marks; what commits meanwhile leaves one of
its own; counting twice adds nothing. docs/decisions/0009-rollups.md has the reasons.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db.models import QuerySet

from analytics.models import Scope
from analytics.periods import Grain, end_of, start_of
from analytics.reading import ByMinute, items, read
from analytics.rows import WIDE, add_to_rows, counting, horizons, stored_tallies
from analytics.tallies import ATTEMPTS, RECEIPTS, Key, Place, Series, Tally
from webhooks_project.lib import clock
from webhooks_project.models import Uncounted
from webhooks_project.uncounted import delete_marks

log = structlog.get_logger(__name__)

MARKS_TOGETHER: Final = 20_000
ROWS_TOGETHER: Final = 20_000  # attempts or receipts, about, in one transaction
SERIES: Final = {Uncounted.Kind.ATTEMPT: ATTEMPTS, Uncounted.Kind.RECEIPT: RECEIPTS}

RECENT: Final = timedelta(minutes=10)  # what is counted first

Target = tuple[Scope, Grain]
Mark = tuple[int, int, datetime]  # its id, the kind, the minute


@dataclass(frozen=True, slots=True)
class Counted:
    """How many periods were counted anew, how many rows that changed, and whether marks are left
    that were there before."""

    periods: int = 0
    rows: int = 0
    is_done: bool = True


@dataclass(slots=True)
class _Turn:
    """The marks of one kind that are dealt with together: counted, not written yet."""

    series: Series
    grain: Grain
    periods: list[datetime]
    found: ByMinute
    marks: list[int]


def count_marked(goes_on: Callable[[], bool] = lambda: True) -> Counted:
    """Count the minutes that are marked, a part at a time: those of just now, then the oldest.

    So what happens now is seen while much else waits, as after an outage or a backfill. After each
    part it asks whether to go on. Marks made meanwhile are left to the next call.
    """
    done = Counted()
    newest = _some(Uncounted.objects.order_by("-pk"))
    since = clock.now() - RECENT
    recent = [mark for mark in newest if mark[2] >= since]
    while newest:
        marks = recent or _some(Uncounted.objects.filter(pk__lte=newest[0][0]).order_by("pk"))
        if not marks:
            break
        turns = _counted(marks)
        taken = {pk for turn in turns for pk in turn.marks}
        recent = [mark for mark in recent if mark[0] not in taken]
        periods, rows = _write(turns)
        done = Counted(done.periods + periods, done.rows + rows)
        if not goes_on():
            return Counted(done.periods, done.rows, is_done=False)
    return done


def _some(marks: QuerySet[Uncounted]) -> list[Mark]:
    return list(marks.values_list("pk", "kind", "minute")[:MARKS_TOGETHER])


def _counted(marks: Iterable[Mark]) -> list[_Turn]:
    """Count what the marks stand for, as many of their periods as go into one transaction."""
    since = horizons()
    grouped: dict[tuple[int, Grain, datetime], list[int]] = defaultdict(list)
    for pk, kind, minute in marks:
        grain = _grain_of(minute, since)
        grouped[kind, grain, start_of(minute, grain)].append(pk)
    turns: dict[tuple[int, Grain], _Turn] = {}
    size = 0
    for (kind, grain, start), ids in grouped.items():
        turn = turns.setdefault(
            (kind, grain), _Turn(SERIES[Uncounted.Kind(kind)], grain, [], {}, [])
        )
        found = read(turn.series, start, end_of(start, grain))
        turn.found.update(found)
        turn.periods.append(start)
        turn.marks.extend(ids)
        size += sum(tally.size for _, _, tally in items(found))
        if size >= ROWS_TOGETHER:
            break
    return list(turns.values())


def _grain_of(minute: datetime, since: dict[tuple[Grain, bool], datetime]) -> Grain:
    """The finest grain that is still whole at that time, down to the full key."""
    for grain in (Grain.MINUTE, Grain.HOUR):
        horizon = since.get((grain, False))
        if horizon is None or minute >= horizon:
            return grain
    return Grain.DAY


def _write(turns: Iterable[_Turn]) -> tuple[int, int]:
    periods = rows = 0
    with counting():
        since = horizons()
        for turn in turns:
            if any(_grain_of(start, since) is not turn.grain for start in turn.periods):
                continue  # compacted meanwhile: its marks stay for the next time
            rows += add_to_rows(turn.series, _to_add(turn, since))
            periods += len(turn.periods)
            delete_marks(turn.marks)
    return periods, rows


def _to_add(turn: _Turn, since: dict[tuple[Grain, bool], datetime]) -> dict[Place, Tally]:
    grains = [grain for grain in Grain if grain >= turn.grain]
    targets = [(scope, grain) for grain in grains for scope in turn.series.scopes_of(grain)]
    sums: dict[Place, Tally] = {}
    add_what_is_more(turn.series, (Scope.FULL, turn.grain), targets, turn.periods, turn.found, sums)
    if turn.grain is Grain.DAY:
        # The hours of accounts and of the hub may be kept longer than all others.
        horizon = since.get((Grain.HOUR, True))
        hours = {start_of(minute, Grain.HOUR) for minute in turn.found}
        kept = {hour for hour in hours if horizon is None or hour >= horizon}
        found = {
            minute: tallies
            for minute, tallies in turn.found.items()
            if start_of(minute, Grain.HOUR) in kept
        }
        add_what_is_more(
            turn.series,
            (Scope.ACCOUNT, Grain.HOUR),
            [(scope, Grain.HOUR) for scope in WIDE],
            kept,
            found,
            sums,
        )
    return sums


def add_what_is_more(
    series: Series,
    base: Target,
    targets: Iterable[Target],
    periods: Iterable[datetime],
    found: ByMinute,
    sums: dict[Place, Tally],
) -> None:
    """Put what was found beyond the base's stored rows into `sums`, for each of the targets.

    An account's period of which fewer are found than were counted has been pruned in part: it is
    left as it was counted.
    """
    scope, grain = base
    stored = stored_tallies(series, scope, grain, list(periods))
    fresh = summed(series, found, scope, grain)
    pruned = fewer_than_stored(fresh, stored)
    for at, tallies in fresh.items():
        before = stored.get(at, {})
        for key, tally in tallies.items():
            if (at, key.account_id) in pruned:
                continue
            known: Any = before.get(key)
            more: Any = tally if known is None else tally.beyond(known)
            if not (more.size or known is None):
                continue
            for to_scope, to_grain in targets:
                if not series.has_row(to_scope, key):
                    continue
                place = (to_scope, to_grain, start_of(at, to_grain), key.of(to_scope))
                into: Any = sums.get(place)
                if into is None:
                    into = sums[place] = series.tally()
                into.add(more)


def summed(
    series: Series, found: ByMinute, scope: Scope, grain: Grain
) -> dict[datetime, dict[Key, Tally]]:
    """What was found by minute, as the rows of a scope and grain have it."""
    sums: dict[datetime, dict[Key, Tally]] = {}
    for minute, key, tally in items(found):
        if not series.has_row(scope, key):
            continue
        tallies = sums.setdefault(start_of(minute, grain), {})
        into: Any = tallies.setdefault(key.of(scope), series.tally())
        into.add(tally)
    return sums


def fewer_than_stored(
    fresh: dict[datetime, dict[Key, Tally]], stored: dict[datetime, dict[Key, Tally]]
) -> set[tuple[datetime, UUID | None]]:
    """The periods and accounts of which less is found than was counted."""
    fewer = set()
    for at, tallies in stored.items():
        for key, tally in tallies.items():
            now: Any = fresh.get(at, {}).get(key)
            if now is None or not now.covers(tally):
                fewer.add((at, key.account_id))
    return fewer
