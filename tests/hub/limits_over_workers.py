"""Two pumps in two processes, and the one that owns the flows killed while they run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

import orjson

from tests.hub.scenario import ROOT, main

RATE = 10  # POSTs in a second
EVENTS = 50
GIVE_UP_SECONDS = 60


def scenario(port: int) -> dict[str, Any]:
    from outgoing.models import Attempt, Delivery
    from outgoing.services import NewEvent, publish_many
    from tests.factories import make_account, make_subscription
    from tests.lib.receiver import answer, receiver

    with receiver(answer()) as here:
        account = make_account()
        make_subscription(account, url=f"{here.url}rate", event_types=("rate",), rate_limit=RATE)
        make_subscription(
            account,
            url=f"{here.url}order",
            event_types=("order",),
            ordering="strict",
            order_key="data.key",
            rate_limit=RATE,
        )
        events = [
            NewEvent(account_id=account.pk, type=type_, data={"n": n, "key": f"k{n % 3}"})
            for n in range(EVENTS)
            for type_ in ("rate", "order")
        ]
        publish_many(events)
        pumps = [start_pump(), start_pump()]
        try:
            wait_for(lambda: Attempt.objects.filter(outcome="succeeded").count() >= EVENTS // 2)
            owner = Attempt.objects.order_by("-started_at")[0].worker.split("/")[0]
            next(pump for pump in pumps if str(pump.pid) == owner).kill()
            wait_for(lambda: not Delivery.objects.exclude(status="delivered").exists())
        finally:
            for pump in pumps:
                pump.kill()
                pump.wait()
        left = Delivery.objects.exclude(status="delivered").count()
        arrived = [orjson.loads(one.body) for one in here.arrived]
    moments = {
        type_: [
            moment.timestamp()
            for moment in Attempt.objects.filter(delivery__event__type=type_).values_list(
                "started_at", flat=True
            )
        ]
        for type_ in ("rate", "order")
    }
    first: dict[str, list[int]] = {}
    for body in arrived:
        if body["type"] == "order":
            row = first.setdefault(body["data"]["key"], [])
            if body["data"]["n"] not in row:
                row.append(body["data"]["n"])
    return {
        "left": left,
        "in_order": all(row == sorted(row) for row in first.values()),
        "ordered": sum(map(len, first.values())),
        "most_in_a_second": max(
            sum(start <= other < start + 1 for other in each)
            for each in moments.values()
            for start in each
        ),
        "workers": len(set(Attempt.objects.values_list("worker", flat=True))),
    }


def start_pump() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hub.pump_process"], cwd=ROOT, env=os.environ.copy()
    )


def wait_for(condition: Any) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


if __name__ == "__main__":
    main(scenario)
