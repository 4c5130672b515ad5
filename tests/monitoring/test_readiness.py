"""Whether the hub is fit for work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
import time_machine
from django.db import DatabaseError, InterfaceError, OperationalError
from django.test import Client

from incoming.models import HandlerRun
from monitoring.readiness import queue_states
from monitoring.tasks import watch_queues
from outgoing.models import Delivery
from tests.factories import make_delivery, make_receipt, make_retry
from webhooks_project.models import Heartbeat

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
FAMILIES = ("processing", "delivery", "retry")
CLIENT = Client()  # a new one loads every middleware anew

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def beat(family: str, seconds_ago: float | None = 0, *, host: str = "node-1") -> None:
    at = None if seconds_ago is None else NOW - timedelta(seconds=seconds_ago)
    Heartbeat.objects.create(host=host, cluster="hub", family=family, beat_at=at)


def beat_all() -> None:
    for family in FAMILIES:
        beat(family)


def wait(family: str, seconds: float) -> None:
    """Let one piece of the family's work be overdue by so many seconds."""
    due_at = NOW - timedelta(seconds=seconds)
    if family == "processing":
        make_receipt(next_attempt_at=due_at)
    elif family == "delivery":
        make_delivery(next_attempt_at=due_at)
    else:
        make_retry(due_at=due_at)


def ready() -> tuple[int, Any]:
    response = CLIENT.get("/readyz")
    return response.status_code, response.json()


FRESH = {"heartbeat_seconds": 0.0, "age_seconds": 0.0}


def test_is_ready_when_each_queue_is_worked_off() -> None:
    beat_all()
    assert ready() == (
        200,
        {"status": "ready", "problems": {}, "queues": dict.fromkeys(FAMILIES, FRESH)},
    )


def test_is_not_ready_before_any_pump_has_beaten() -> None:
    status, answer = ready()
    assert (status, answer["status"]) == (503, "unready")
    assert answer["problems"] == dict.fromkeys(FAMILIES, "no pump is alive")
    silent = {"heartbeat_seconds": None, "age_seconds": 0.0}
    assert answer["queues"] == dict.fromkeys(FAMILIES, silent)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("seconds", "status"), [(30, 200), (30.5, 503), (90_000, 503)])
def test_a_family_must_have_given_a_sign_of_life_lately(
    family: str, seconds: float, status: int
) -> None:
    for each in FAMILIES:
        beat(each, seconds if each == family else 0)
    code, answer = ready()
    assert code == status
    assert answer["problems"] == ({} if status == 200 else {family: "no pump is alive"})
    # What is older than a day is not looked for.
    assert answer["queues"][family]["heartbeat_seconds"] == (None if seconds > 86_400 else seconds)


def test_one_pump_alive_anywhere_is_enough() -> None:
    beat_all()
    for family in FAMILIES:
        beat(family, 600, host="node-2")
        beat(family, None, host="node-3")
    assert ready()[0] == 200


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("seconds", "status"), [(-60, 200), (0, 200), (300, 200), (301, 503)])
def test_no_work_may_wait_long_past_its_time(family: str, seconds: float, status: int) -> None:
    beat_all()
    wait(family, seconds)
    wait(family, seconds - 60)
    code, answer = ready()
    assert code == status
    assert answer["problems"] == ({} if status == 200 else {family: "work is overdue"})
    ages = {name: state["age_seconds"] for name, state in answer["queues"].items()}
    assert ages == dict.fromkeys(FAMILIES, 0.0) | {family: max(0.0, seconds)}


def test_a_silent_family_is_named_so_also_when_its_work_is_overdue() -> None:
    beat("delivery")
    beat("retry")
    wait("processing", 1000)
    assert ready()[1]["problems"] == {"processing": "no pump is alive"}


@pytest.mark.parametrize("status", ["held", "delivered", "exhausted", "cancelled", "delivering"])
def test_a_delivery_that_stands_in_no_line_is_not_overdue(status: str) -> None:
    make_delivery(status=status, next_attempt_at=NOW - timedelta(days=1))
    assert queue_states(NOW)["delivery"]["age_seconds"] == 0.0


def test_both_lanes_of_the_delivery_queue_count() -> None:
    make_delivery(next_attempt_at=NOW - timedelta(seconds=10))
    make_delivery(lane=Delivery.Lane.AGAIN, next_attempt_at=NOW - timedelta(seconds=20))
    assert queue_states(NOW)["delivery"]["age_seconds"] == 20.0


def test_handlers_that_are_not_run_in_time_count_as_processing() -> None:
    receipt = make_receipt(next_attempt_at=NOW - timedelta(seconds=10))
    for seconds in (400, None):  # the second one has run
        HandlerRun.objects.create(
            account=receipt.account,
            source=receipt.source,
            receipt=receipt,
            handler=f"after {seconds}",
            created_at=NOW,
            next_attempt_at=seconds and NOW - timedelta(seconds=seconds),
        )
    beat_all()
    assert queue_states(NOW)["processing"]["age_seconds"] == 400.0
    assert ready()[1]["problems"] == {"processing": "work is overdue"}


def test_a_node_answers_for_the_families_that_it_serves(settings: Any) -> None:
    settings.QM_WEBHOOKS = dict.fromkeys(settings.FAMILIES, False) | {"retry": True}
    wait("processing", 1000)
    beat("retry", 2)
    status, answer = ready()
    assert status == 200
    assert answer["queues"] == {"retry": {"heartbeat_seconds": 2.0, "age_seconds": 0.0}}


def test_a_node_that_serves_none_is_ready(settings: Any) -> None:
    settings.QM_WEBHOOKS = dict.fromkeys(settings.FAMILIES, False)
    assert ready() == (200, {"status": "ready", "problems": {}, "queues": {}})


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, DatabaseError])
def test_is_not_ready_without_its_database(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(now: datetime) -> None:
        raise error("password=hunter2")

    monkeypatch.setattr("monitoring.readiness.queue_states", fail)
    assert ready() == (
        503,
        {"status": "unready", "problems": {"database": error.__name__}, "queues": {}},
    )


def test_looks_at_the_database_a_fixed_number_of_times(django_assert_num_queries: Any) -> None:
    beat_all()
    for family in FAMILIES:
        for _ in range(3):
            wait(family, 5)
    with django_assert_num_queries(5):
        queue_states(NOW)


def test_a_process_that_answers_is_up_whatever_else_is(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = CLIENT.get("/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert not response.cookies


def test_watching_says_which_queues_are_behind() -> None:
    wait("processing", 301)
    wait("delivery", 300)
    wait("retry", 4000)
    with structlog.testing.capture_logs() as logs:
        assert watch_queues() == 2
    assert logs == [
        {
            "event": "queue is behind",
            "log_level": "warning",
            "family": family,
            "age_seconds": seconds,
        }
        for family, seconds in (("processing", 301.0), ("retry", 4000.0))
    ]


def test_watching_says_nothing_where_nothing_is_behind() -> None:
    with structlog.testing.capture_logs() as logs:
        assert watch_queues() == 0
    assert logs == []


def test_watching_forgets_the_places_of_nodes_that_are_gone() -> None:
    beat("processing", 7 * 86_400, host="kept")
    beat("processing", 7 * 86_400 + 1, host="gone")
    beat("processing", None, host="never-beaten")
    watch_queues()
    assert set(Heartbeat.objects.values_list("host", flat=True)) == {"kept", "never-beaten"}
