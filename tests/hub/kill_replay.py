"""A replay whose pump is killed in the middle of its batches, again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.hub.scenario import main

DELIVERIES = 1_000
KILLS = 3
GIVE_UP_SECONDS = 40


def scenario(port: int) -> dict[str, Any]:
    from django.db.models import F

    from outgoing.models import Delivery, Event
    from outgoing.replays import plan_replay, start_replay
    from outgoing.selecting import Selection
    from tests.factories import make_subscription
    from webhooks_project.lib import clock

    now = clock.now()
    then = now - timedelta(hours=1)
    subscription = make_subscription()
    account = subscription.account
    events = Event.objects.bulk_create(
        Event(account=account, type="invoice.paid", data=b"{}", occurred_at=then, created_at=then)
        for _ in range(DELIVERIES)
    )
    Delivery.objects.bulk_create(
        Delivery(
            account=account, event=event, subscription=subscription, status="delivered", lane=None,
            attempt_count=1, next_attempt_at=then, created_at=then,
        )
        for event in events
    )  # fmt: skip
    replay = start_replay(plan_replay(Selection(since=then, account=account)))
    path = Path(tempfile.mkdtemp(dir=os.environ["HUB_VAR_DIR"])) / "batches"

    def carry() -> None:
        """What the delivery pumps would do."""
        waiting = Delivery.objects.filter(lane__isnull=False)
        # A look first: SQLite would let nobody write while a batch is kept open.
        if waiting.exists():
            waiting.update(lane=None, status="delivered", attempt_count=F("attempt_count") + 1)
        replay.refresh_from_db()

    committed = []
    for _ in range(KILLS):
        seen = len(lines_of(path))
        worker = start_worker(path)
        wait_for(lambda seen=seen: len(lines_of(path)) > seen + 1, carry)  # type: ignore[misc]
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        carry()
        committed.append(replay.redelivered_count)
    worker = start_worker(path)
    wait_for(lambda: replay.status != "running", carry)
    carry()
    worker.kill()
    worker.wait()
    counts = Delivery.objects.values_list("attempt_count", flat=True)
    return {
        "status": replay.status,
        "planned": replay.planned_count,
        "redelivered": replay.redelivered_count,
        "attempts": sorted(set(counts)),
        "killed_under_way": all(0 < count < DELIVERIES for count in committed),
        "gone_on": committed == sorted(set(committed)),
    }


def start_worker(path: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hub.replay_worker", str(path)], stderr=subprocess.DEVNULL
    )


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(is_so: Callable[[], bool], meanwhile: Callable[[], None]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        meanwhile()
        time.sleep(0.05)


if __name__ == "__main__":
    main(scenario)
