"""Replay jobs, moved on by a process of its own as the retry family's pump is.

Begun anew and not forked: what a fork shares is copied as it is touched, by the process that is
measured too.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def moving_on() -> Iterator[None]:
    """Jobs are moved on meanwhile. Raises RuntimeError where they were not."""
    spawn = multiprocessing.get_context("spawn")
    is_ready, is_over = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_move_on, args=(is_ready, is_over), daemon=True)
    process.start()
    is_ready.wait()
    try:
        yield
    finally:
        is_over.set()
        process.join()
    if process.exitcode:
        raise RuntimeError("the jobs were not moved on")


def _move_on(is_ready: Any, is_over: Any) -> None:
    import django

    django.setup()
    from outgoing.replays import Pace
    from webhooks_project.lib import clock
    from webhooks_project.pumps import POLL_SECONDS

    pace = Pace()
    is_ready.set()
    while not is_over.wait(POLL_SECONDS):
        pace.advance(clock.now())
