"""SIGTERM to the supervisor while deliveries run, then a second start on the same data."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import psutil

from tests.hub.kill_each_process import Publisher
from tests.hub.scenario import main

EVENTS = 400
GIVE_UP_SECONDS = 60


def scenario(port: int) -> dict[str, Any]:
    from incoming.conformance import verifying_receiver
    from subscriptions.services import create_subscription
    from webhooks_project.accounts.services import create_account, create_api_key
    from webhooks_project.lib.signing import new_secret
    from webhooks_project.running import running_hub

    account = create_account(name="Stop", slug="stop")
    key = create_api_key(account=account, name="publisher", scopes=["operator"]).text
    secret = new_secret()
    with verifying_receiver(secret) as (url, arrived):
        create_subscription(
            account=account, name="Receiver", url=url, event_types=["*"], secret=secret
        )
        with running_hub(port=port) as hub:
            clusters = sorted(
                process.environ()["Q_CLUSTER_NAME"]
                for process in psutil.Process(hub.process.pid).children()
                if "qcluster" in process.cmdline()
            )
            publisher = Publisher(hub.url, key)
            expected = {publisher.publish() for _ in range(EVENTS)}
            started_at = time.monotonic()
            hub.process.send_signal(signal.SIGTERM)
            code = hub.process.wait(60)
            seconds = time.monotonic() - started_at
        left = processes_of_this_hub()
        with running_hub(port=port):
            deadline = time.monotonic() + GIVE_UP_SECONDS
            while expected - arrived.bodies.keys() and time.monotonic() < deadline:
                time.sleep(0.05)
    return {
        "clusters": clusters,
        "exit_code": code,
        "stop_seconds": round(seconds, 1),
        "processes_left": left,
        "missing": len(expected - arrived.bodies.keys()),
        "twice": sum(len(bodies) > 1 for bodies in arrived.bodies.values()),
        "refused": len(arrived.refused),
    }


def processes_of_this_hub() -> int:
    """How many processes of this scratch hub there are, this one apart."""
    found = 0
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("HUB_NODE") == os.environ["HUB_NODE"]
        except psutil.Error:
            continue
        found += ours and process.pid != os.getpid()
    return found


if __name__ == "__main__":
    main(scenario)
