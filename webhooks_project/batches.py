"""Rows worked off in short transactions, so that nobody waits long to write."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db import models, transaction
from django.db.models import QuerySet

from webhooks_project.jobs import behind

Item = TypeVar("Item")

BATCH_ROWS: Final = 1_000  # in one transaction, at most
MIN_BATCH_ROWS: Final = 50
# A transaction that took longer is followed by one of half the rows: on SQLite nobody else writes
# meanwhile, and large bodies take their time.
LONG_SECONDS: Final = 0.2
PAUSE_SECONDS: Final = 0.01  # between two, for those who wait to write
TURN_SECONDS: Final = 60.0  # of one task


class Batches:
    """Transactions of so many rows that each is short, until the time is over.

    `seconds` is None for as long as it takes; `progress` is called with each one's count.
    """

    def __init__(self, seconds: float | None, progress: Callable[[int], None]) -> None:
        self._ends_at = None if seconds is None else time.monotonic() + seconds
        self._turn_ends_at = self._ends_at
        self._was_cut = False
        self._progress = progress
        self._size = BATCH_ROWS

    @property
    def goes_on(self) -> bool:
        return not self._is_over()

    def _is_over(self) -> bool:
        return self._ends_at is not None and time.monotonic() >= self._ends_at

    def turns(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items one after the other, each with its part of the time that is left, and again
        those that it was too short for: what one has much of does not keep the others waiting.

        Whatever its part, each gets one transaction of every kind.
        """
        left = list(items)
        while left and self.goes_on:
            cut = []
            for number, item in enumerate(left):
                if self._is_over():
                    return
                if self._ends_at is not None:
                    now = time.monotonic()
                    part = (self._ends_at - now) / (len(left) - number)
                    self._turn_ends_at = now + part
                self._was_cut = False
                yield item
                if self._was_cut:
                    cut.append(item)
            left = cut

    def each(
        self,
        find: Callable[[], QuerySet[Any]],
        column: str,
        act: Callable[[QuerySet[Any]], int],
    ) -> int:
        """Let `act` have the rows in order of the column. Returns the sum of what it gives back.

        It gets them by their ids and as `find` finds them at that moment, so that one which has
        changed, or is wanted by a replay since, is left alone.
        """
        done = 0
        for ids in self._ids(find, column):
            started_at = time.monotonic()
            with transaction.atomic():
                count = act(find().filter(pk__in=ids))
            self._notice(time.monotonic() - started_at)
            done += count
            self._progress(count)
            time.sleep(PAUSE_SECONDS)
        return done

    def _ids(self, find: Callable[[], QuerySet[Any]], column: str) -> Iterator[list[UUID]]:
        """The ids of the rows, a batch at a time, each behind the last one's."""
        after = behind(column, None, None)
        is_first = True
        while self.goes_on:
            if not is_first and self._is_turn_over:
                self._was_cut = True
                return
            is_first = False
            found = list(
                find().filter(after).order_by(column, "pk").values_list("pk", column)[: self._size]
            )
            if not found:
                return
            key, moment = found[-1]
            after = behind(column, moment, key)
            yield [pk for pk, _ in found]

    @property
    def _is_turn_over(self) -> bool:
        return self._turn_ends_at is not None and time.monotonic() >= self._turn_ends_at

    def _notice(self, seconds: float) -> None:
        if seconds > LONG_SECONDS:
            self._size = max(MIN_BATCH_ROWS, self._size // 2)
        else:
            self._size = min(BATCH_ROWS, self._size * 2)


def in_turn(items: Sequence[Item], now: datetime) -> list[Item]:
    """The items, another one first in every hour."""
    start = int(now.timestamp()) // 3600 % len(items) if items else 0
    return [*items[start:], *items[:start]]


def delete_rows(rows: QuerySet[Any]) -> int:
    """Delete them. Returns how many there were of their own model."""
    model: type[models.Model] = rows.model
    return rows.delete()[1].get(model._meta.label, 0)
