"""A hub with nothing to do: how soon it notices something, and what it costs meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Collection
from statistics import median
from typing import Final

import psutil
from django.db import transaction

from outgoing.models import Delivery
from outgoing.services import publish
from subscriptions.services import create_subscription
from tests.bench.receiver import Arrivals, running_receiver
from tests.bench.report import Mark, quantile, say, show_value
from webhooks_project.accounts.models import Account
from webhooks_project.accounts.services import create_account
from webhooks_project.running import running_hub
from webhooks_project.supervisor import pss_bytes

NAMES: Final = ("publish_to_wire", "retry_lateness", "idle_cpu", "idle_memory")
EVENT_TYPE: Final = "bench.timed"
# Together more than a minute, in which every pump hands over to its next at least once.
PUBLISHES: Final = 120
PAUSE_SECONDS: Final = (0.3, 0.8)  # uneven, so as not to fall in step with a pump's looks
WARM_UP_PUBLISHES: Final = 5
RETRIES: Final = 200
RETRY_SECONDS: Final = 60
SETTLE_SECONDS: Final = 5
WINDOWS: Final = 5
WINDOW_SECONDS: Final = 5


def measure_idle(*, only: Collection[str]) -> None:
    """Print those of `publish_to_wire`, `retry_lateness`, `idle_cpu`, `idle_memory` asked for."""
    with running_receiver() as arrivals, running_hub() as hub:
        account = create_account(name="Idle", slug="bench-idle")
        create_subscription(
            account=account, name="Receiver", url=arrivals.url, event_types=[EVENT_TYPE]
        )
        for _ in range(WARM_UP_PUBLISHES):
            _publish(account, arrivals)
        if "publish_to_wire" in only:
            _measure_publish_to_wire(account, arrivals)
        if "retry_lateness" in only:
            _measure_retry_lateness(account, arrivals)
        if {"idle_cpu", "idle_memory"} & set(only):
            _measure_resources(psutil.Process(hub.process.pid), only)


def _measure_publish_to_wire(account: Account, arrivals: Arrivals) -> None:
    milliseconds = []
    for number in range(PUBLISHES):
        time.sleep(random.uniform(*PAUSE_SECONDS))
        committed_at, webhook_id = _publish(account, arrivals)
        milliseconds.append((arrivals.wait_for(webhook_id) - committed_at) * 1000)
        if number % 30 == 29:
            say(f"publish_to_wire {number + 1}/{PUBLISHES}: {milliseconds[-1]:.0f} ms")
    p99 = quantile(milliseconds, 0.99)
    show_value(
        "publish_to_wire",
        median(milliseconds),
        "ms",
        runs=PUBLISHES,
        mark=Mark("<=", 150),
        p99=round(p99, 2),
        p99_mark="<= 500",
        p99_met=p99 <= 500,
        largest=round(max(milliseconds), 2),
    )


def _publish(account: Account, arrivals: Arrivals) -> tuple[float, str]:
    """Publish one event and wait until it has arrived. Returns when it was committed, and its id.

    The moment is taken between the commit and the hint that follows it.
    """
    moments: list[float] = []
    with transaction.atomic():
        transaction.on_commit(lambda: moments.append(time.time()))
        event = publish(account=account, type=EVENT_TYPE, data={"amount": 4200}).event
    arrivals.wait_for(event.webhook_id)
    return moments[0], event.webhook_id


def _measure_retry_lateness(account: Account, arrivals: Arrivals) -> None:
    """Deliveries that fail once come due again some seconds later; how long after that they are
    on the wire."""
    arrivals.refuse_firsts = True
    say(f"retry_lateness: {RETRIES} deliveries fail once")
    published = [
        publish(account=account, type=EVENT_TYPE, data={"amount": 4200}).event
        for _ in range(RETRIES)
    ]
    again_at = {
        event.pk: arrivals.wait_for(event.webhook_id, count=2, seconds=RETRY_SECONDS)
        for event in published
    }
    arrivals.refuse_firsts = False
    due_at = dict(
        Delivery.objects.filter(event__in=list(again_at)).values_list("event", "next_attempt_at")
    )
    late = [(moment - due_at[key].timestamp()) * 1000 for key, moment in again_at.items()]
    show_value(
        "retry_lateness",
        quantile(late, 0.95),
        "ms at p95",
        runs=RETRIES,
        mark=Mark("<=", 1000),
        median=round(median(late), 2),
        smallest=round(min(late), 2),
        largest=round(max(late), 2),
    )


def _measure_resources(supervisor: psutil.Process, only: Collection[str]) -> None:
    time.sleep(SETTLE_SECONDS)
    percents: list[float] = []
    mebibytes: list[float] = []
    before, before_at = _cpu_seconds(supervisor), time.monotonic()
    for window in range(WINDOWS):
        time.sleep(WINDOW_SECONDS)
        after, after_at = _cpu_seconds(supervisor), time.monotonic()
        percents.append(100 * (after - before) / (after_at - before_at))
        mebibytes.append(pss_bytes([supervisor]) / 2**20)
        before, before_at = after, after_at
        say(f"idle {window + 1}/{WINDOWS}: {percents[-1]:.1f} %, {mebibytes[-1]:.0f} MiB")
    processes = 1 + len(supervisor.children(recursive=True))
    if "idle_cpu" in only:
        show_value(
            "idle_cpu", median(percents), "% of one core",
            runs=WINDOWS, mark=Mark("<=", 5), seconds=WINDOWS * WINDOW_SECONDS,
            raw=[round(percent, 2) for percent in percents],
        )  # fmt: skip
    if "idle_memory" in only:
        show_value(
            "idle_memory", median(mebibytes), "MiB",
            runs=WINDOWS, mark=Mark("<=", 450), processes=processes,
            raw=[round(size, 1) for size in mebibytes],
        )  # fmt: skip


def _cpu_seconds(supervisor: psutil.Process) -> float:
    """What the hub has used so far, also in processes that have ended."""
    total = 0.0
    for process in (supervisor, *supervisor.children(recursive=True)):
        try:
            total += sum(process.cpu_times()[:4])  # user, system, and the same of ended children
        except psutil.NoSuchProcess:
            continue
    return total
