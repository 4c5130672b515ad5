"""Whose turn it is to write to SQLite, among the processes of a machine.

SQLite's own wait is a poll with ever longer sleeps: who comes late may be passed over for a
second, while the one writer stands idle between two polls. A lock of the operating system wakes
the next at once.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


@contextmanager
def turn_to_write(connection: Any, *, waits: bool = True) -> Iterator[bool]:
    """Wait for the turn, and have it until the block ends. On other databases, and in memory,
    there is nothing to wait for.

    Gives whether the turn was had: always, unless it is another's and this one does not wait.
    Between processes, not threads: one thread of a process at a time. Those who do not ask for
    the turn are not kept out; SQLite sees to that. Raises OSError where the lock's file, which
    lies beside the database's, cannot be made.
    """
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name or "mode=memory" in name:
        yield True
        return
    lock = _lock_file(f"{name}-turn", os.getpid())
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
        return
    try:
        yield True
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


@cache
def _lock_file(path: str, pid: int) -> int:
    # By process: what a fork inherits is the same lock, which its parent has already.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
