"""Whose turn it is to write to SQLite, among the processes of a machine.

SQLite's own wait is a poll with ever longer sleeps: who comes late may be passed over for a
second, while the one writer stands idle between two polls. A lock of the operating system wakes
the next at once.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, Final

REFUSED_SECONDS: Final = 0.1  # who was refused for so long waits
WAIT_SECONDS: Final = 2.0  # but not for ever: leases have to be renewed meanwhile


@contextmanager
def turn_to_write(connection: Any) -> Iterator[None]:
    """Wait for the turn, and have it until the block ends. On other databases, and in memory,
    there is nothing to wait for.

    Between processes, not threads: one thread of a process at a time. Those who do not ask for
    the turn are not kept out; SQLite sees to that. Raises OSError where the lock's file, which
    lies beside the database's, cannot be made.
    """
    path = _path_of(connection)
    if path is None:
        yield
        return
    lock = _lock_file(path, os.getpid())
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


class Turns:
    """The turns of one who has other work to do while somebody else writes."""

    def __init__(self) -> None:
        self._refused_at: float | None = None

    @contextmanager
    def take(self, connection: Any, *, waits: bool) -> Iterator[bool]:
        """The turn until the block ends; gives whether it was had.

        Who does not wait has it only where nobody else has: but those who wait are woken in order,
        so whoever was refused for REFUSED_SECONDS waits as well. No wait is longer than
        WAIT_SECONDS.
        """
        path = _path_of(connection)
        if path is None:
            yield True
            return
        now = time.monotonic()
        refused_at = now if self._refused_at is None else self._refused_at
        lock = _taken_at_once(path)
        if lock is None and (waits or now - refused_at >= REFUSED_SECONDS):
            lock = _taken_within(path, WAIT_SECONDS)
        self._refused_at = refused_at if lock is None else None
        if lock is None:
            yield False
            return
        try:
            yield True
        finally:
            os.close(lock)


def _path_of(connection: Any) -> str | None:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name or "mode=memory" in name:
        return None
    return f"{name}-turn"


def _opened(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@cache
def _lock_file(path: str, pid: int) -> int:
    # By process: what a fork inherits is the same lock, which its parent has already.
    return _opened(path)


def _taken_at_once(path: str) -> int | None:
    lock = _opened(path)
    with suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return lock
    os.close(lock)
    return None


def _taken_within(path: str, seconds: float) -> int | None:
    """Such a lock has no time limit of its own: a thread waits, and gives back what is too late."""
    lock = _opened(path)
    state = threading.Condition()
    is_taken = is_late = False

    def wait() -> None:
        nonlocal is_taken
        fcntl.flock(lock, fcntl.LOCK_EX)
        with state:
            is_taken = True
            state.notify()
            if is_late:
                os.close(lock)

    threading.Thread(target=wait, name="turn", daemon=True).start()
    with state:
        state.wait_for(lambda: is_taken, seconds)
        is_late = not is_taken
    return None if is_late else lock
