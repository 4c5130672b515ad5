"""A whole hub as a child process, for what has to be seen from outside: conformance, tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import requests
from django.conf import settings

READY_SECONDS: Final = 60
STOP_SECONDS: Final = 90


@dataclass(frozen=True)
class RunningHub:
    """`url` is the web server's, `process` the supervisor over the server and the clusters."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_hub(
    *, environment: Mapping[str, str] | None = None, port: int | None = None
) -> Iterator[RunningHub]:
    """The web server and the clusters on this process's database, ready; stopped afterwards.

    Raises RuntimeError where the hub is not ready within a minute.
    """
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "manage.py", "run_hub", "--bare", "--port", str(port)],
        env=os.environ | {"PUBLIC_URL": url, "LOG_LEVEL": "WARNING"} | dict(environment or {}),
        cwd=settings.BASE_DIR,
        start_new_session=True,
    )
    try:
        wait_until_ready(url, process)
        yield RunningHub(url, process)
    finally:
        stop(process)


def wait_until_ready(url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Return once `/readyz` says ready. Raises RuntimeError after a minute, or when it died."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            raise RuntimeError(f"the hub ended with {process.returncode} before it was ready")
        with suppress(requests.RequestException):
            if requests.get(f"{url}/readyz", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the hub was not ready within {READY_SECONDS} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the supervisor to stop everything, and see to it that it did."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
