"""kill -9 of every django-q2 process while a bulk job rotates secrets."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import psutil

from tests.hub.scenario import main

SUBSCRIPTIONS = 400
GIVE_UP_SECONDS = 180


def scenario(port: int) -> dict[str, Any]:
    from django.db.models import Count

    from subscriptions.bulk.models import BulkJob
    from subscriptions.bulk.planning import plan_action
    from subscriptions.bulk.selection import Selection
    from subscriptions.models import Subscription
    from tests.factories import make_account, make_subscription
    from webhooks_project.running import running_hub

    account = make_account()
    for _ in range(SUBSCRIPTIONS):
        make_subscription(account)

    def job() -> BulkJob:
        return BulkJob.objects.get()

    with running_hub(port=port) as hub:
        plan_action(
            account=account,
            action=BulkJob.Action.ROTATE,
            selection=Selection(statuses=("active",)),
        )
        wait_for(lambda: job().done_count > 0)
        killed = 0
        for process in psutil.Process(hub.process.pid).children(recursive=True):
            if "qcluster" in process.cmdline():
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
        done = job().done_count
        wait_for(lambda: job().status != BulkJob.Status.RUNNING)
    rotated = Subscription.objects.annotate(count=Count("secrets")).values_list("count", flat=True)
    return {
        "killed": killed > 0,
        "was_under_way": 0 < done < SUBSCRIPTIONS,
        "status": job().status,
        "secrets": sorted(set(rotated)),
        "changed": job().changed_count,
    }


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)


if __name__ == "__main__":
    main(scenario)
