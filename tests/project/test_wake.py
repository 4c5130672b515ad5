"""Hints: sent after the commit, never needed, never harmful."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
import time_machine
from django.db import OperationalError
from django_q.models import Schedule

from webhooks_project import queues
from webhooks_project.models import Heartbeat
from webhooks_project.queues import ensure_schedules, queue_depths, send_hint, wake

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def waiting(family: str = "delivery") -> int:
    return queues._broker(family).queue_size()


def beat(family: str, *, ago: float) -> None:
    Heartbeat.objects.create(
        host="other", cluster="hub", family=family, beat_at=NOW - timedelta(seconds=ago)
    )


def test_a_hint_waits_for_the_family_s_cluster() -> None:
    wake("delivery")
    assert waiting("delivery") == 1
    assert waiting("processing") == waiting("retry") == 0


def test_one_hint_waits_at_most() -> None:
    assert send_hint("delivery") is True
    assert send_hint("delivery") is False
    assert waiting() == 1


def test_a_process_hints_at_a_family_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(queues, "send_hint", sent.append)
    now = 1000.0
    monkeypatch.setattr(queues.time, "monotonic", lambda: now)
    wake("delivery")
    wake("delivery")
    wake("processing")
    now += 0.999
    wake("delivery")
    assert sent == ["delivery", "processing"]
    now += 0.001
    wake("delivery")
    assert sent == ["delivery", "processing", "delivery"]


@pytest.mark.parametrize("family", ["monitoring", "analytics"])
def test_a_short_task_is_called_again_once_the_last_call_was_taken(family: str) -> None:
    wake(family)
    wake(family)
    assert waiting(family) == 1
    broker = queues._broker(family)
    ((taken, _),) = broker.dequeue()
    broker.acknowledge(taken)
    wake(family)
    assert waiting(family) == 1


@time_machine.travel(NOW, tick=False)
@pytest.mark.parametrize(
    ("family", "ago", "hinted"),
    [("delivery", 0, False), ("delivery", 3, False), ("delivery", 3.001, True), ("retry", 0, True)],
)
def test_a_pump_that_is_alive_anywhere_needs_no_hint(family: str, ago: float, hinted: bool) -> None:
    beat(family, ago=ago)
    wake("delivery")
    assert waiting() == hinted


@pytest.mark.parametrize(
    "error", [OperationalError("away"), OSError("away"), RuntimeError("x"), ConnectionError("x")]
)
def test_a_failure_is_not_the_caller_s(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(_: str) -> None:
        raise error

    monkeypatch.setattr(queues, "send_hint", fail)
    with structlog.testing.capture_logs() as lines:
        wake("delivery")
    assert [line["event"] for line in lines] == ["the hint was not sent; the supervisor will look"]


def test_tells_how_many_hints_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    send_hint("retry")
    depths = queue_depths()
    assert depths == {family: int(family == "retry") for family in depths}

    def fail(family: str) -> Any:
        raise OSError("away")

    monkeypatch.setattr(queues, "_broker", fail)
    assert set(queue_depths().values()) == {-1}


# --- the backstop ---------------------------------------------------------------------------------


def schedules() -> list[tuple[str, str, str]]:
    return sorted(Schedule.objects.values_list("name", "func", "cluster"))


EVERY = [
    ("webhooks-analytics", "analytics.tasks.roll_up", "hub"),
    ("webhooks-delivery", "outgoing.tasks.deliver", "hub"),
    ("webhooks-monitoring", "monitoring.tasks.watch", "hub"),
    ("webhooks-monitoring-hourly", "monitoring.tasks.look_after", "hub"),
    ("webhooks-processing", "incoming.tasks.process_receipts", "hub"),
    ("webhooks-processing-hourly", "incoming.tasks.prune", "hub"),
    ("webhooks-retry", "outgoing.tasks.release_retries", "hub"),
    ("webhooks-retry-hourly", "outgoing.tasks.prune", "hub"),
    ("webhooks-subscriptions.bulk.tasks.run_bulk_jobs",
     "subscriptions.bulk.tasks.run_bulk_jobs", "hub"),
]  # fmt: skip


def test_each_family_is_looked_at_every_minute_come_what_may() -> None:
    ensure_schedules()
    ensure_schedules()
    assert schedules() == EVERY
    every_minute = Schedule.objects.exclude(name__endswith="-hourly")
    assert set(every_minute.values_list("schedule_type", "minutes", "repeats")) == {
        (Schedule.MINUTES, 1, -1)
    }


def test_what_is_old_is_pruned_every_hour() -> None:
    ensure_schedules()
    for family in ("processing", "retry", "monitoring"):
        hourly = Schedule.objects.get(name=f"webhooks-{family}-hourly")
        assert (hourly.schedule_type, hourly.repeats) == (Schedule.HOURLY, -1)


def test_every_task_that_is_named_is_there() -> None:
    from django.utils.module_loading import import_string

    for path in (
        *queues.PUMPS.values(),
        *queues.PERIODIC.values(),
        *queues.HOURLY.values(),
        *queues.CALLED,
    ):
        assert callable(import_string(path))


def test_two_nodes_that_started_together_leave_one_schedule() -> None:
    for _ in range(3):
        Schedule.objects.create(name="webhooks-delivery", func="outgoing.tasks.deliver")
    first = Schedule.objects.earliest("pk").pk
    ensure_schedules()
    assert schedules() == EVERY
    assert Schedule.objects.get(name="webhooks-delivery").pk == first


def test_a_family_with_a_cluster_of_its_own_is_scheduled_there(settings: Any) -> None:
    settings.WEBHOOKS_SHARED_CLUSTER = False
    settings.QM_WEBHOOKS = {family: family == "retry" for family in settings.FAMILIES}
    ensure_schedules()
    assert schedules() == [
        ("webhooks-retry", "outgoing.tasks.release_retries", "retry"),
        ("webhooks-retry-hourly", "outgoing.tasks.prune", "retry"),
    ]


def test_people_are_told_at_once_by_the_monitoring_family() -> None:
    wake("monitoring")
    assert waiting("monitoring") == 1


def test_a_called_task_waits_in_its_familys_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    queues.call_task("subscriptions.bulk.tasks.run_bulk_jobs")
    assert waiting("monitoring") == 1

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(queues, "async_task", broken)
    queues.call_task("subscriptions.bulk.tasks.run_bulk_jobs")
