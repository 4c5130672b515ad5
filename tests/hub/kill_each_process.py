"""kill -9 of each process of a working hub, one at a time: what is lost, how long work stands."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import psutil
import requests

from tests.hub.scenario import main

BEFORE, AFTER = 150, 50  # events published before and after each kill
GIVE_UP_SECONDS = 60
WAITING = 5  # processes of a cluster for all families that hold no pump: three workers and two more


def scenario(port: int) -> dict[str, Any]:
    from incoming.conformance import verifying_receiver
    from subscriptions.services import create_subscription
    from webhooks_project.accounts.services import create_account, create_api_key
    from webhooks_project.lib.signing import new_secret
    from webhooks_project.running import running_hub

    account = create_account(name="Crash", slug="crash")
    key = create_api_key(account=account, name="publisher", scopes=["operator"]).text
    secret = new_secret()
    result: dict[str, Any] = {"kills": {}}
    with verifying_receiver(secret) as (url, arrived), running_hub(port=port) as hub:
        create_subscription(
            account=account, name="Receiver", url=url, event_types=["*"], secret=secret
        )
        publisher = Publisher(hub.url, key)
        for role, find in each_process(hub.process.pid):
            expected = {publisher.publish() for _ in range(BEFORE)}
            pid = kill(find)
            killed_at = time.monotonic()
            expected |= {publisher.publish() for _ in range(AFTER)}
            while expected - arrived.bodies.keys():
                if time.monotonic() - killed_at > GIVE_UP_SECONDS:
                    break
                time.sleep(0.05)
            missing = len(expected - arrived.bodies.keys())
            seconds = time.monotonic() - killed_at
            result["kills"][role] = {"seconds": round(seconds, 1), "missing": missing}
            print(role, pid, result["kills"][role], file=sys.stderr, flush=True)
        result["published"] = publisher.count
        result["arrived"] = len(arrived.bodies)
        result["twice"] = sum(len(bodies) > 1 for bodies in arrived.bodies.values())
        result["refused"] = len(arrived.refused)
    return result


FOUND_SECONDS = 60  # a cluster that is replaced is there again long before


def kill(find: Callable[[], int]) -> int:
    """SIGKILL what is found, which may end by itself between the look and the kill, or is not there
    yet where its cluster is being replaced."""
    until = time.monotonic() + FOUND_SECONDS
    while time.monotonic() < until:
        with suppress(
            ProcessLookupError, LookupError, StopIteration, ZeroDivisionError, psutil.Error
        ):
            pid = find()
            os.kill(pid, signal.SIGKILL)
            return pid
        time.sleep(0.05)
    raise AssertionError("there is no such process to be killed")


def each_process(supervisor: int) -> Iterator[tuple[str, Callable[[], int]]]:
    """Every kind of process, and how to find it at the moment; the supervisor last."""
    from webhooks_project.models import Heartbeat

    def cluster() -> psutil.Process:
        children = psutil.Process(supervisor).children()
        return next(item for item in children if "qcluster" in item.cmdline())

    def web() -> psutil.Process:
        children = psutil.Process(supervisor).children()
        return next(item for item in children if "granian" in item.cmdline())

    def pump(family: str) -> int:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            row = Heartbeat.objects.filter(family=family).exclude(token=None).first()
            if row is not None and psutil.pid_exists(row.pid):
                return row.pid
            time.sleep(0.05)
        raise AssertionError(f"no {family} pump")

    def waiting(index: int) -> int:
        """Of the workers without a pump, the pusher and the monitor, one by its place."""
        pumps = set(Heartbeat.objects.exclude(token=None).values_list("pid", flat=True))
        sentinel = cluster().children()[0]
        others = [item.pid for item in sentinel.children() if item.pid not in pumps]
        return others[index % len(others)]

    for family in ("delivery", "processing", "retry"):
        yield f"{family} pump", partial(pump, family)
    for index in range(WAITING):
        yield f"waiting process {index}", partial(waiting, index)
    yield "sentinel", lambda: cluster().children()[0].pid
    yield "cluster master", lambda: cluster().pid
    yield "web worker", lambda: web().children()[-1].pid
    yield "web master", lambda: web().pid
    yield "supervisor", lambda: supervisor


class Publisher:
    """Publishes over HTTP and tries again, with the same key, until it is told 2xx."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/api/v1/webhooks/outgoing/events"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {key}"
        self.count = 0

    def publish(self) -> str:
        """Returns the event's webhook-id."""
        self.count += 1
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                answer = self._session.post(
                    self._url,
                    json={"type": "crash.test", "data": {"number": self.count}},
                    headers={"Idempotency-Key": f"number-{self.count}"},
                    timeout=10,
                )
                if answer.status_code in (200, 201):
                    return str(answer.json()["webhook_id"])
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, "the API did not come back"
            time.sleep(0.1)


if __name__ == "__main__":
    main(scenario)
