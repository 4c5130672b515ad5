"""Ingest: the hub's door against the bare view, in the same processes of the same server."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import orjson
import requests
from django.conf import settings

from incoming.models import Receipt
from incoming.services import create_source
from tests.bench import bare
from tests.bench.load import post, put_load
from tests.bench.report import Mark, said, say, show_ratio
from webhooks_project.accounts.services import create_account
from webhooks_project.running import free_port
from webhooks_project.supervisor import web_service

CONNECTIONS: Final = 16
SECONDS: Final = 2.5
WARM_UP_SECONDS: Final = 1.0
BODY_BYTES: Final = 1024
READY_SECONDS: Final = 60
NO_LIMIT: Final = 2_000_000_000  # calls a minute; every call is counted all the same
MARK: Final = Mark(">=", 0.8)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Door:
    """An address that takes webhooks, and how many of them it has stored."""

    path: str
    stored: Callable[[], int]

    def rate(self, *, port: int, body: bytes, seconds: float) -> float:
        """Webhooks taken a second. Raises RuntimeError where one was refused or is not stored."""
        before, after = post(
            url=f"http://127.0.0.1:{port}{self.path}",
            headers={
                "Content-Type": "application/json",
                "X-GitHub-Event": "issues",
                bare.SIGNATURE_HEADER: bare.signature_of(body),
                "X-GitHub-Delivery": "bench-",
            },
            body=body,
        )
        present = self.stored()
        load = put_load(
            # Each has an id of its own, or it would be a duplicate.
            lambda: b"%b%d%b" % (before, next(_numbers), after),
            port=port,
            seconds=seconds,
            connections=CONNECTIONS,
        )
        stored = self.stored() - present
        if set(load.statuses) != {200} or stored != load.statuses[200]:
            raise RuntimeError(f"{self.path}: answers {dict(load.statuses)}, rows {stored}")
        return load.statuses[200] / load.seconds


def measure_ingest(*, runs: int) -> None:
    """Print `ingest`: webhooks verified, stored and answered a second, by the bare view's."""
    bare.make_table()
    body = _body()
    doors = {"hub": _hub_door(), "bare": Door("/bare", bare.Row.objects.count)}
    rates: dict[str, list[float]] = {name: [] for name in doors}
    with _running_web_server() as port:
        for door in doors.values():
            door.rate(port=port, body=body, seconds=WARM_UP_SECONDS)
        for run in range(runs):
            for name, door in doors.items():
                rates[name].append(door.rate(port=port, body=body, seconds=SECONDS))
            say(f"ingest {run + 1}/{runs}: {said(rates)}")
    show_ratio(
        "ingest",
        rates,
        mark=MARK,
        server=f"granian {settings.WEB_PROCESSES}x{settings.WEB_THREADS}",
        connections=CONNECTIONS,
        body_bytes=len(body),
    )


def _body() -> bytes:
    body: dict[str, Any] = {"action": "opened", "number": 7, "sender": {"login": "octocat"}}
    return orjson.dumps(body | {"title": "x" * (BODY_BYTES - len(orjson.dumps(body)) - 11)})


def _hub_door() -> Door:
    source = create_source(
        account=create_account(name="Ingest", slug="bench-ingest"),
        name="GitHub",
        provider="github",
        secret=bare.SECRET,
        rate_per_minute=NO_LIMIT,
        rate_per_minute_per_address=NO_LIMIT,
    ).source
    accepted = Receipt.objects.filter(source=source, status=Receipt.Status.ACCEPTED)
    return Door(source.path, accepted.count)


@contextmanager
def _running_web_server() -> Iterator[int]:
    """The node's web server with its own flags, a process for each of two cores. Gives its port.

    No cluster runs: what follows a receipt is not ingest.
    """
    settings.WEB_PROCESSES = int(os.environ.setdefault("WEB_PROCESSES", "2"))
    port = free_port()
    service = web_service(host="127.0.0.1", port=port)
    service.environment |= {
        "DJANGO_SETTINGS_MODULE": "tests.bench.settings",
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        # Lines are written as in production, but not among the figures.
        "LOG_FILE": str(settings.VAR_DIR / "web.log"),
    }
    service.start()
    try:
        _wait_until_healthy(port)
        yield port
    finally:
        service.kill()


def _wait_until_healthy(port: int) -> None:
    # Ready it will not be: no pump runs.
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        with suppress(requests.RequestException):
            if requests.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the web server did not answer within {READY_SECONDS} s")
