"""What is to be stored at the same moment shares a commit. Each is durable before its caller goes
on.

A commit costs the same for one row as for thirty: a sync of the log, and on SQLite the turn at the
one writer. So of the requests that want to store, one leads: it takes all that have come up to
then, and commits them together, while those that come meanwhile wait for the next to lead.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections

from webhooks_project.lib.turns import turn_to_write

MAX_TOGETHER: Final = 100  # in one transaction
MAX_BYTES_TOGETHER: Final = 8 * 1024 * 1024

Item = TypeVar("Item")


@dataclass(slots=True, eq=False)
class Waiting(Generic[Item]):
    """One that is to be stored; then what came of it, or why nothing did."""

    item: Item
    size: int
    outcome: Any = None
    error: Exception | None = None
    is_done: bool = False
    # Of those that do not lead at once: held until they are to go on. An Event is a Condition.
    turn: threading.Lock | None = None

    def go_on(self) -> None:
        """Its thread waits no more; to be called once."""
        if self.turn is not None:
            self.turn.release()


class Together(ABC, Generic[Item]):
    """Stores what several threads have, in one transaction."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: list[Waiting[Item]] = []
        self._is_led = False

    @abstractmethod
    def commit(self, batch: Sequence[Waiting[Item]]) -> None:
        """Store these and commit. One that fails alone gets its `error`."""

    def store(self, item: Item, *, size: int) -> Any:
        """Return its outcome once it is committed; `size` is about how many bytes it has.

        Raises what kept it from being stored. Not to be called in a transaction.
        """
        waiting = Waiting(item, size)
        with self._lock:
            self._line.append(waiting)
            if self._is_led:
                waiting.turn = threading.Lock()
                waiting.turn.acquire()
            self._is_led = True
        if waiting.turn is not None:
            waiting.turn.acquire()
        if not waiting.is_done:
            self._lead(waiting)
        if waiting.error is not None:
            raise waiting.error
        return waiting.outcome

    def _lead(self, leader: Waiting[Item]) -> None:
        batch: list[Waiting[Item]] = []
        try:
            with turn_to_write(connections[DEFAULT_DB_ALIAS]):
                with self._lock:
                    batch = self._take()  # those too that came while this one waited
                self.commit(batch)
        except BaseException as error:
            # Not this thread's alone: the others must not wait for ever, nor hear that it is well.
            if not batch:
                with self._lock:
                    batch = self._take()
            for waiting in batch:
                waiting.error = error if isinstance(error, Exception) else RuntimeError("stopped")
            raise
        finally:
            with self._lock:
                following = self._line[0] if self._line else None
                self._is_led = following is not None
            for waiting in batch:
                waiting.is_done = True
                if waiting is not leader:
                    waiting.go_on()
            if following is not None:
                following.go_on()

    def _take(self) -> list[Waiting[Item]]:
        size = count = 0
        for waiting in self._line[:MAX_TOGETHER]:
            size += waiting.size
            if count and size > MAX_BYTES_TOGETHER:
                break
            count += 1
        batch, self._line = self._line[:count], self._line[count:]
        return batch
