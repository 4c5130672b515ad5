"""kill -9 of each process of a working hub, one at a time: what is lost, how long work stands."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import requests

from tests.hub.scenario import main

BEFORE, AFTER = 150, 50  # events published before and after each kill
GIVE_UP_SECONDS = 60


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
        for role, pid in each_process(hub.process.pid):
            expected = {publisher.publish() for _ in range(BEFORE)}
            os.kill(pid, signal.SIGKILL)
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


def each_process(supervisor: int) -> Iterator[tuple[str, int]]:
    """Every kind of process, by what it is at the moment; the supervisor last."""
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

    def others() -> list[int]:
        pumps = set(Heartbeat.objects.exclude(token=None).values_list("pid", flat=True))
        sentinel = cluster().children()[0]
        return [item.pid for item in sentinel.children() if item.pid not in pumps]

    for family in ("delivery", "processing", "retry"):
        yield f"{family} pump", pump(family)
    for index in range(len(others())):
        waiting = others()
        if index < len(waiting):
            yield f"idle process {index}", waiting[index]
    yield "sentinel", cluster().children()[0].pid
    yield "cluster master", cluster().pid
    yield "web worker", web().children()[-1].pid
    yield "web master", web().pid
    yield "supervisor", supervisor


class Publisher:
    """Publishes over HTTP and tries again, with the same key, until it is told 2xx."""

    def __init__(self, url: str, key: str) -> None:
        self._url = f"{url}/api/v1/webhooks/outgoing/events"
        self._key = key
        self.count = 0

    def publish(self) -> str:
        """Returns the event's webhook-id."""
        self.count += 1
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while True:
            try:
                answer = requests.post(
                    self._url,
                    json={"type": "crash.test", "data": {"number": self.count}},
                    headers={
                        "Authorization": f"Bearer {self._key}",
                        "Idempotency-Key": f"number-{self.count}",
                    },
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
