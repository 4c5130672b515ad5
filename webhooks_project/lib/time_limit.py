"""Ending what takes too long."""

from __future__ import annotations

import faulthandler
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TimeLimitExceeded(BaseException):
    """It took longer than it may. No Exception, so that `except Exception` does not swallow it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the body once it has taken so many seconds.

    For the main thread alone, since it goes by SIGALRM; a timer that was running before goes on
    afterwards. Code that no signal interrupts is not ended: see `process_time_limit`.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise TimeLimitExceeded(f"it took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    started_at = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        try:
            yield
        finally:
            # It rings once: should it ring at this very moment, nothing is left to be taken back.
            signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)
        if left:
            left -= time.monotonic() - started_at
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), interval)


@contextmanager
def process_time_limit(seconds: float) -> Iterator[None]:
    """End the process, with every thread's traceback on its standard error, where the body takes
    longer than this.

    For code that ignores signals or never lets go of the interpreter: the watch is a thread that
    needs neither.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__ or sys.stderr)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
