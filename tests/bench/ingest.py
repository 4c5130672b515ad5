"""Ingest: the hub's door against the bare view, in the same processes of the same server."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import orjson
import requests
from django.conf import settings
from django.db import connection

from incoming.models import Receipt
from incoming.services import create_source
from tests.bench import bare
from tests.bench.load import Load, post, put_load
from tests.bench.report import Mark, quantile, said, say, show_ratio
from webhooks_project.accounts.services import create_account
from webhooks_project.running import free_port
from webhooks_project.supervisor import web_service

SENDERS: Final = (1, 8, 32)  # at the same time
SECONDS: Final = 2.5
WARM_UP_SECONDS: Final = 1.0
BODY_BYTES: Final = 1024
READY_SECONDS: Final = 60
NO_LIMIT: Final = 2_000_000_000  # calls a minute; every call is counted all the same
MARKS: Final = {"sqlite": Mark(">=", 1.3), "postgresql": Mark(">=", 1.0)}  # with 32 senders
WAIT_MARK: Final = Mark("<=", 1.0)  # the hub's p99 by the bare view's, with as many
NAMES: Final = tuple(f"ingest_{senders}" for senders in SENDERS)

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Door:
    """An address that takes webhooks, and how many of them it has stored."""

    path: str
    stored: Callable[[], int]

    def load(self, *, port: int, body: bytes, seconds: float, senders: int) -> Load:
        """Webhooks sent by so many at once. Raises RuntimeError where one was refused or is not
        stored."""
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
            connections=senders,
        )
        stored = self.stored() - present
        if set(load.statuses) != {200} or stored != load.statuses[200]:
            raise RuntimeError(f"{self.path}: answers {dict(load.statuses)}, rows {stored}")
        return load


def measure_ingest(*, runs: int, only: Collection[str]) -> None:
    """Print `ingest_N`: webhooks verified, stored and answered a second with N senders at once, by
    the bare view's. `p99_ratio` is that of the waits for an answer."""
    bare.make_table()
    body = _body()
    doors = {"hub": _hub_door(), "bare": Door("/bare", bare.Row.objects.count)}
    with running_web_server() as port:
        for door in doors.values():
            door.load(port=port, body=body, seconds=WARM_UP_SECONDS, senders=8)
        for senders in SENDERS:
            if f"ingest_{senders}" in only:
                _measure(doors, senders=senders, port=port, body=body, runs=runs)


def _measure(doors: dict[str, Door], *, senders: int, port: int, body: bytes, runs: int) -> None:
    rates: dict[str, list[float]] = {name: [] for name in doors}
    waits: dict[str, list[float]] = {name: [] for name in doors}
    for run in range(runs):
        for name, door in doors.items():
            load = door.load(port=port, body=body, seconds=SECONDS, senders=senders)
            rates[name].append(load.statuses[200] / load.seconds)
            waits[name].append(quantile(load.waits, 0.99) * 1000)
        say(f"ingest with {senders} senders {run + 1}/{runs}: {said(rates)}")
    most = senders == max(SENDERS)
    p99 = {name: median(values) for name, values in waits.items()}
    ratio = p99["hub"] / p99["bare"]
    show_ratio(
        f"ingest_{senders}",
        rates,
        mark=MARKS.get(connection.vendor) if most else None,
        p99_ms={name: round(value, 1) for name, value in p99.items()},
        p99_ratio=round(ratio, 3),
        **({"p99_mark": str(WAIT_MARK), "p99_met": WAIT_MARK.met_by(ratio)} if most else {}),
        server=f"granian {settings.WEB_PROCESSES}x{settings.WEB_THREADS}",
        senders=senders,
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
def running_web_server() -> Iterator[int]:
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
