"""Ending what takes too long, and leaving other timers as they were."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from webhooks_project.lib.time_limit import TimeLimitExceeded, time_limit


@pytest.fixture
def rung() -> Iterator[list[float]]:
    """When the alarm of somebody else's rings."""
    moments: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: moments.append(time.monotonic()))
    left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    yield moments
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, left, interval)


def test_what_is_done_in_time_is_left_alone(rung: list[float]) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(5):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before
    assert rung == []


def test_what_takes_longer_is_ended(rung: list[float]) -> None:
    started_at = time.monotonic()
    with pytest.raises(TimeLimitExceeded, match=r"it took longer than 0\.05 s"), time_limit(0.05):
        time.sleep(5)
    assert 0.05 <= time.monotonic() - started_at < 1
    time.sleep(0.1)
    assert rung == []


def test_another_timer_goes_on_afterwards(rung: list[float]) -> None:
    started_at = time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with time_limit(5):
        time.sleep(0.1)
    assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 0.2
    while not rung and time.monotonic() - started_at < 5:
        time.sleep(0.01)
    assert 0.3 <= rung[0] - started_at < 1


def test_another_timer_that_should_have_rung_meanwhile_rings_afterwards(rung: list[float]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with time_limit(5):
        time.sleep(0.2)
        assert rung == []
    time.sleep(0.05)
    assert len(rung) == 1


def run(body: str) -> Any:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "import signal, time\n"
            "from webhooks_project.lib.time_limit import process_time_limit\n"
            f"{body}\n"
            "print('went on')",
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )


def test_a_process_that_takes_longer_is_ended_and_says_where_it_was() -> None:
    ended = run(
        "signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals))\n"
        "with process_time_limit(0.2):\n"
        "    time.sleep(15)"
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("Timeout (0:00:00.200000)!\n")


def test_a_process_that_is_done_in_time_goes_on() -> None:
    ended = run("with process_time_limit(0.2):\n    pass\ntime.sleep(0.4)")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "went on\n", "")
