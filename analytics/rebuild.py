"""Counting whole days anew from attempts and receipts, where those are all still there.

For rollups that were lost or are doubted. A day of an account of which fewer are found than were
counted has been pruned: it is left as it was counted, and named. So is one whose receipts are all
there but stand under other verdicts, unless these are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from analytics.counting import fewer_than_stored, summed
from analytics.models import Scope
from analytics.periods import Grain, end_of, start_of
from analytics.reading import ByMinute, read
from analytics.rows import (
    WIDE,
    Stored,
    counting,
    delete_ids,
    horizons,
    insert_places,
    stored_tallies,
)
from analytics.tallies import (
    ATTEMPTS,
    RECEIPTS,
    Key,
    Place,
    ReceiptKey,
    ReceiptTally,
    Series,
    Tally,
    id_of,
)

DAY: Final = timedelta(days=1)
GRAINS_OF_DAYS: Final = (Grain.MINUTE, Grain.HOUR, Grain.DAY)
UNLOCKED_TRIES: Final = 3  # of what is being counted, before it is read under the lock


@dataclass(frozen=True, slots=True)
class Refused:
    """A day of an account that was left alone, since what it was counted from is not all there.

    `of` are the attempts or receipts of which fewer are there; or the verdicts, where all receipts
    are there, and some stand under another than was counted.
    """

    day: date
    account_id: UUID
    of: str


@dataclass(slots=True)
class Rebuilt:
    """What was, or on a dry run would be, written; then without the rows of months."""

    days: int = 0
    counted: int = 0  # attempts and receipts
    changed: int = 0  # rows that were other than they should be, or missing
    refused: list[Refused] = field(default_factory=list)


def rebuild_rollups(
    *,
    since: datetime,
    until: datetime,
    is_dry_run: bool = False,
    as_they_stand: bool = False,
    progress: Callable[[datetime], None] = lambda day: None,
) -> Rebuilt:
    """Count the days (of UTC) that meet `[since, until)` anew. Doing it twice gives the same.

    `as_they_stand` counts receipts by the verdicts that can be told now, also where others were
    counted.

    One transaction for each day, and at the end one for each scope of each month; what it is
    counted from is read before it.
    `progress` is called with each day that is done.
    """
    done = Rebuilt()
    for day in days_of(since, until):
        for series in (ATTEMPTS, RECEIPTS):
            _rebuild_day(series, day, is_dry_run, as_they_stand, done)
        done.days += 1
        progress(day)
    if not is_dry_run:  # the days that its months would be made of are not written
        for month in sorted({start_of(day, Grain.MONTH) for day in days_of(since, until)}):
            for series in (ATTEMPTS, RECEIPTS):
                _rebuild_month(series, month, done)
    return done


def days_of(since: datetime, until: datetime) -> Iterator[datetime]:
    day = start_of(since, Grain.DAY)
    while day < until:
        yield day
        day += DAY


def _rebuild_day(
    series: Series, day: datetime, is_dry_run: bool, as_they_stand: bool, done: Rebuilt
) -> None:
    """Read the day while others write, and write it under the lock, if nobody counted it meanwhile.

    A day is counted by adding to its rows alone, so rows that are as they were before the reading
    say that what was read has all that they have. Attempts stored meanwhile have their marks, and
    are more than is written: they are counted as ever.
    """
    for _ in range(UNLOCKED_TRIES):
        found = _read_day(series, day, as_they_stand)
        try:
            with counting():
                if found.stored != _stored_day(series, day):
                    continue
                changed = _write_day(series, found, is_dry_run)
        except IntegrityError:  # of an account, a subscription or a source that was just deleted
            continue
        break
    else:  # it is counted all the time
        with counting():
            found = _read_day(series, day, as_they_stand)
            changed = _write_day(series, found, is_dry_run)
    done.counted += found.counted
    done.changed += changed
    done.refused += [
        Refused(
            day.date(),
            account_id,
            "verdicts" if account_id in found.moved else series.tally.COLUMNS[0],
        )
        for account_id in sorted(filter(None, found.left))
    ]


@dataclass(frozen=True, slots=True)
class _Day:
    """A day counted anew, not written yet; `stored` are its rows of the full key before that."""

    day: datetime
    stored: Stored
    left: set[UUID | None]  # accounts that are left as they were counted
    moved: set[UUID | None]  # those of which all was found, but under other verdicts
    counted: int
    wanted: dict[tuple[Scope, Grain], Stored]


def _read_day(series: Series, day: datetime, as_they_stand: bool) -> _Day:
    stored = _stored_day(series, day)  # before what happened is read: that has all of it, or more
    found = read(series, day, day + DAY)
    fresh = summed(series, found, Scope.FULL, Grain.DAY)
    left = {account_id for _, account_id in fewer_than_stored(fresh, stored)}
    moved: set[UUID | None] = set()
    if left and series is RECEIPTS:
        fewer = fewer_than_stored(_of_any_verdict(fresh), _of_any_verdict(stored))
        moved = left - {account_id for _, account_id in fewer}
    if as_they_stand:
        left -= moved
    whole = _without(found, left)
    return _Day(
        day=day,
        stored=stored,
        left=left,
        moved=moved,
        counted=sum(tally.size for tallies in whole.values() for tally in tallies.values()),
        wanted={
            (scope, grain): summed(series, whole, scope, grain)
            for grain in GRAINS_OF_DAYS
            for scope in series.scopes_of(grain)
            if scope is not Scope.HUB
        },
    )


def _stored_day(series: Series, day: datetime) -> Stored:
    return stored_tallies(series, Scope.FULL, Grain.DAY, [day])


def _write_day(series: Series, found: _Day, is_dry_run: bool) -> int:
    """Have the day's rows as they were found. Returns how many were other or missing."""
    changed = 0
    day, since = found.day, horizons()
    condition = Q(account__isnull=False) & ~Q(account__in=found.left)
    moved = Q(account__in=found.moved - found.left)
    for grain in GRAINS_OF_DAYS:
        gone: Stored = {}
        # The hub last: it is the sum of its accounts.
        for scope in reversed(series.scopes_of(grain)):
            horizon = since.get((grain, scope in WIDE))
            if horizon is not None and day + DAY <= horizon:
                continue
            start = day if horizon is None else max(day, horizon)
            if scope is Scope.HUB:
                changed += _sum_hub(series, grain, start, day + DAY, gone)
                continue
            wanted = {
                at: tallies for at, tallies in found.wanted[scope, grain].items() if at >= start
            }
            if scope is Scope.ACCOUNT:
                gone = _gone(_stored_between(series, scope, grain, start, day + DAY, moved), wanted)
            changed += _replace(series, scope, grain, start, day + DAY, wanted, condition)
    if is_dry_run:
        transaction.set_rollback(True)
    return changed


def _rebuild_month(series: Series, month: datetime, done: Rebuilt) -> None:
    for scope in series.scopes:
        done.changed += _rebuild_month_of(series, scope, month)


def _rebuild_month_of(series: Series, scope: Scope, month: datetime) -> int:
    """A month is the sum of its days, which are kept for ever. Returns how many rows were other.

    They are summed while others write, and the sum is written if nobody counted them meanwhile:
    whoever counts makes a number greater, which is compared without the sketches.
    """
    end = end_of(month, Grain.MONTH)
    days = list(days_of(month, end))
    for _ in range(UNLOCKED_TRIES):
        sizes = _sizes_of_days(series, scope, days)  # before the sum, which has all that, or more
        wanted = _sum_days(series, scope, month, days)
        try:
            with counting():
                if sizes != _sizes_of_days(series, scope, days):
                    continue
                changed = _replace(series, scope, Grain.MONTH, month, end, wanted, Q())
        except IntegrityError:  # of an account, a subscription or a source that was just deleted
            continue
        return changed
    with counting():  # they are counted all the time
        wanted = _sum_days(series, scope, month, days)
        return _replace(series, scope, Grain.MONTH, month, end, wanted, Q())


def _sizes_of_days(series: Series, scope: Scope, days: list[datetime]) -> dict[UUID, int]:
    """By the ids of the days' rows, how many attempts or receipts each has."""
    rows = series.model._default_manager.filter(scope=scope, grain=Grain.DAY, at__in=days)
    return dict(rows.order_by().values_list("id", series.tally.COLUMNS[0]))


def _sum_days(series: Series, scope: Scope, month: datetime, days: list[datetime]) -> Stored:
    sums: dict[Key, Tally] = {}
    for tallies in stored_tallies(series, scope, Grain.DAY, days).values():
        for key, tally in tallies.items():
            into: Any = sums.setdefault(key, series.tally())
            into.add(tally)
    return {month: sums} if sums else {}


def _of_any_verdict(of_day: Stored) -> Stored:
    """Of each source all receipts, whatever became of them and whatever their type."""
    sums: Stored = {}
    for at, tallies in of_day.items():
        for key, tally in tallies.items():
            if isinstance(key, ReceiptKey):
                whole = key._replace(verdict="", cause="", event_type="")
                into: Any = sums.setdefault(at, {}).setdefault(whole, ReceiptTally())
                into.add(tally)
    return sums


def _gone(stored: Stored, wanted: Stored) -> Stored:
    """By the keys of the hub, what accounts were counted under verdicts that it no longer has."""
    sums: Stored = {}
    for at, tallies in stored.items():
        for key, tally in tallies.items():
            known: Any = tally
            less = known.beyond(wanted.get(at, {}).get(key, type(tally)()))
            if less.size > 0:
                into: Any = sums.setdefault(at, {}).setdefault(key.of(Scope.HUB), type(tally)())
                into.add(less)
    return sums


def _sum_hub(series: Series, grain: Grain, start: datetime, end: datetime, gone: Stored) -> int:
    """The hub is the sum of its accounts; more where an account is deleted, and then left alone,
    save for what is `gone` to other verdicts."""
    periods = _stored_between(series, Scope.ACCOUNT, grain, start, end, Q())
    wanted: Stored = {}
    for at, tallies in periods.items():
        for key, tally in tallies.items():
            sums = wanted.setdefault(at, {})
            into: Any = sums.setdefault(key.of(Scope.HUB), series.tally())
            into.add(tally)
    stored = _stored_between(series, Scope.HUB, grain, start, end, Q())
    for at, tallies in stored.items():
        for key, tally in tallies.items():
            known: Any = tally
            if (less := gone.get(at, {}).get(key)) is not None:
                known = known.beyond(less)
            found: Any = wanted.get(at, {}).get(key)
            if known.size and (found is None or not found.covers(known)):
                wanted.setdefault(at, {})[key] = known
    return _replace(series, Scope.HUB, grain, start, end, wanted, Q())


def _replace(
    series: Series,
    scope: Scope,
    grain: Grain,
    start: datetime,
    end: datetime,
    wanted: Stored,
    condition: Q,
) -> int:
    """Have just the wanted rows in `[start, end)`. Returns how many were other or missing."""
    stored = _stored_between(series, scope, grain, start, end, condition)
    unlike: list[Place] = []
    for at, tallies in stored.items():
        for key, known in tallies.items():
            if wanted.get(at, {}).get(key) != known:
                unlike.append((scope, grain, at, key))
    places = [(scope, grain, at, key) for at, tallies in wanted.items() for key in tallies]
    missing: list[Place] = [
        place
        for place in places
        if stored.get(place[2], {}).get(place[3]) != wanted[place[2]][place[3]]
    ]
    delete_ids(series, [id_of(place) for place in unlike])
    insert_places(series, ((id_of(place), place, wanted[place[2]][place[3]]) for place in missing))
    return len({*unlike, *missing})


def _stored_between(
    series: Series, scope: Scope, grain: Grain, start: datetime, end: datetime, condition: Q
) -> Stored:
    at = start_of(start, grain)
    periods = []
    while at < end:
        periods.append(at)
        at = end_of(at, grain)
    return stored_tallies(series, scope, grain, periods, condition)


def _without(found: ByMinute, accounts: set[UUID | None]) -> ByMinute:
    return {
        minute: {key: tally for key, tally in tallies.items() if key.account_id not in accounts}
        for minute, tallies in found.items()
    }
