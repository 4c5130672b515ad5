"""Receipts that wait at the same moment share a commit. Each is durable before its caller goes on.

A commit costs the same for one row as for thirty: a sync of the log, and on SQLite the turn at the
one writer. So of the requests that want to store, one leads: it takes all that have come up to
then, and commits them together, while those that come meanwhile wait for the next to lead. Alone,
a request inserts its row as it always did.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from django.db import IntegrityError, connections, router, transaction

from incoming.models import Receipt
from webhooks_project.lib.sql import insert_instance, insert_instances
from webhooks_project.lib.turns import turn_to_write

MAX_TOGETHER: Final = 100  # receipts in one transaction
MAX_BYTES_TOGETHER: Final = 8 * 1024 * 1024  # of their bodies


@dataclass(slots=True, eq=False)
class _Waiting:
    receipt: Receipt
    turn: threading.Event = field(default_factory=threading.Event)
    is_done: bool = False
    error: Exception | None = None


class Store:
    """Inserts receipts, those of several threads in one transaction."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: list[_Waiting] = []
        self._is_led = False

    def insert(self, receipt: Receipt) -> None:
        """Return once the receipt is committed.

        Raises IntegrityError where another has its id (that of the row or the third party's), and
        what the database raises where it cannot store. Not to be called in a transaction.
        """
        waiting = _Waiting(receipt)
        with self._lock:
            self._line.append(waiting)
            leads = not self._is_led
            self._is_led = True
        if not leads:
            waiting.turn.wait()
        if not waiting.is_done:
            self._lead()
        if waiting.error is not None:
            raise waiting.error

    def _lead(self) -> None:
        batch: list[_Waiting] = []
        try:
            with turn_to_write(connections[router.db_for_write(Receipt)]):
                with self._lock:
                    batch = self._take()  # those too that came while this one waited
                _commit(batch)
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
                waiting.turn.set()
            if following is not None:
                following.turn.set()

    def _take(self) -> list[_Waiting]:
        size = count = 0
        for waiting in self._line[:MAX_TOGETHER]:
            size += len(waiting.receipt.body)
            if count and size > MAX_BYTES_TOGETHER:
                break
            count += 1
        batch, self._line = self._line[:count], self._line[count:]
        return batch


def _commit(batch: Sequence[_Waiting]) -> None:
    if len(batch) > 1:
        try:
            with transaction.atomic():
                insert_instances([waiting.receipt for waiting in batch])
            return
        except IntegrityError:
            pass  # one of them is a repeat: each by itself, to see which
    for waiting in batch:
        try:
            insert_instance(waiting.receipt)
        except Exception as error:
            waiting.error = error


store: Final = Store()
