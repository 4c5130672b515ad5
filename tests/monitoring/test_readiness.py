"""Whether the hub is fit for work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog
import time_machine
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import Schedule
from django_q.signals import post_execute

from incoming.models import HandlerRun
from monitoring import gathering
from monitoring.models import Notification
from monitoring.readiness import queue_states
from monitoring.tasks import watch_queues
from outgoing.models import Delivery, Flow
from tests.factories import (
    make_account,
    make_delivery,
    make_receipt,
    make_retry,
    make_run,
    make_subscription,
)
from webhooks_project.lib.ids import new_id
from webhooks_project.models import Heartbeat, Uncounted
from webhooks_project.queues import ensure_schedules

NOW = datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC)
PUMPED = ("processing", "delivery", "retry")
FAMILIES = (*PUMPED, "monitoring", "analytics")
WITH_WORK = FAMILIES
CLIENT = Client()  # a new one loads every middleware anew

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def test_signs_of_life_of_all_families_are_one_question() -> None:
    with CaptureQueriesContext(connection) as captured:
        queue_states(NOW)
    asked = [query["sql"] for query in captured.captured_queries]
    assert sum('"hub_heartbeat"' in sql for sql in asked) == 1
    assert sum('"django_q_schedule"' in sql for sql in asked) == 1


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
    elif family == "retry":
        make_retry(due_at=due_at)
    elif family == "analytics":
        # A minute that is over by then.
        Uncounted.objects.create(kind=Uncounted.Kind.ATTEMPT, minute=due_at - timedelta(minutes=1))
    else:
        Notification.objects.create(
            account=make_account(), kind="test", recipient="a@example.com", title="t", text="t",
            next_attempt_at=due_at, created_at=NOW,
        )  # fmt: skip


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


@pytest.mark.parametrize(
    ("family", "seconds", "status"),
    [
        *((family, *case) for family in PUMPED for case in ((30, 200), (30.5, 503), (90_000, 503))),
        # Tasks that are run once a minute.
        *((family, *case) for family in FAMILIES[3:] for case in ((200, 200), (201, 503))),
    ],
)
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


@pytest.mark.parametrize("family", WITH_WORK)
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
    for family in FAMILIES[1:]:
        beat(family)
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


def test_who_judges_sees_the_queues_of_the_whole_hub(settings: Any) -> None:
    """The node that judges may serve nothing but monitoring."""
    settings.QM_WEBHOOKS = dict.fromkeys(settings.FAMILIES, False) | {"monitoring": True}
    wait("processing", 1000)
    ages = dict.fromkeys(FAMILIES, 0.0) | {"processing": 1000.0}
    assert gathering.read_hub(NOW).queues == ages
    assert watch_queues() == 1


def test_a_node_that_serves_none_is_ready(settings: Any) -> None:
    settings.QM_WEBHOOKS = dict.fromkeys(settings.FAMILIES, False)
    assert ready() == (200, {"status": "ready", "problems": {}, "queues": {}})


@pytest.mark.parametrize("error", [OperationalError, InterfaceError, DatabaseError])
def test_is_not_ready_without_its_database(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def fail(now: datetime, families: Any) -> None:
        raise error("password=hunter2")

    monkeypatch.setattr("monitoring.readiness.queue_states", fail)
    assert ready() == (
        503,
        {"status": "unready", "problems": {"database": error.__name__}, "queues": {}},
    )


def test_looks_at_the_database_a_fixed_number_of_times(django_assert_num_queries: Any) -> None:
    beat_all()
    for family in WITH_WORK:
        for _ in range(3):
            wait(family, 5)
    # Their signs of life; then receipts, handlers, the three lanes of deliveries and who has
    # some of those under way, retries, notifications, what is not in the rollups.
    with django_assert_num_queries(1 + 9):
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


# --- what is old and yet served -------------------------------------------------------------------

AGES = {"first": Delivery.Lane.FIRST, "again": Delivery.Lane.AGAIN}


def age(family: str = "delivery") -> float:
    return float(queue_states(NOW)[family]["age_seconds"])


def under_way(subscription: Any, *, seconds_left: float) -> None:
    """One delivery of the subscription that a worker has under its lease."""
    make_delivery(
        subscription=subscription,
        status=Delivery.Status.DELIVERING,
        lease_token=new_id(),
        leased_until=NOW + timedelta(seconds=seconds_left),
    )


@pytest.mark.parametrize("lane", AGES.values())
def test_a_backlog_behind_attempts_under_way_is_served(lane: int) -> None:
    slow, other = make_subscription(), make_subscription()
    for seconds in (4000, 3000):
        make_delivery(
            subscription=slow, lane=lane, next_attempt_at=NOW - timedelta(seconds=seconds)
        )
    make_delivery(subscription=other, lane=lane, next_attempt_at=NOW - timedelta(seconds=20))
    assert age() == 4000.0
    under_way(slow, seconds_left=5)
    assert age() == 20.0
    under_way(other, seconds_left=5)
    assert age() == 0.0


def test_a_lease_that_ran_out_serves_nothing() -> None:
    subscription = make_subscription()
    make_delivery(subscription=subscription, next_attempt_at=NOW - timedelta(seconds=4000))
    under_way(subscription, seconds_left=-1)
    assert age() == 4000.0


def limited(seconds: float) -> Any:
    """A subscription with limits, whose oldest delivery is overdue by so many seconds."""
    subscription = make_subscription(rate_limit=1, is_limited=True)
    make_delivery(
        subscription=subscription,
        lane=Delivery.Lane.LIMITED,
        next_attempt_at=NOW - timedelta(seconds=seconds),
    )
    return subscription


@pytest.mark.parametrize(
    "why",
    [
        {"rate_limit": 1},
        {"breaker": "open", "breaker_changed_at": NOW},
        {"delivery_window": {"days": ["mon"], "from": "01:00", "to": "02:00"}},
        {"ordering": "strict"},
    ],
)
def test_what_its_limits_hold_back_is_served_while_a_pump_owns_the_flow(why: Any) -> None:
    subscription = limited(90_000)
    type(subscription).objects.update(**why)
    Flow.objects.create(
        subscription=subscription, owner=new_id(), leased_until=NOW + timedelta(seconds=1)
    )
    assert age() == 0.0


def test_a_flow_that_nobody_owns_counts_since_it_was_left() -> None:
    subscription = limited(90_000)
    assert age() == 90_000.0  # nobody ever looked after it
    flow = Flow.objects.create(
        subscription=subscription, owner=new_id(), leased_until=NOW - timedelta(seconds=40)
    )
    assert age() == 40.0  # its owner died
    Flow.objects.filter(pk=flow.pk).update(owner=None, leased_until=None)
    assert age() == 90_000.0


def test_limited_lines_that_are_not_looked_after_make_a_node_unready() -> None:
    beat_all()
    limited(301)
    assert ready()[1]["problems"] == {"delivery": "work is overdue"}


def test_no_work_of_a_limited_subscription_is_no_age() -> None:
    make_subscription(rate_limit=1, is_limited=True)
    make_delivery(
        subscription=limited(-60), lane=Delivery.Lane.LIMITED, next_attempt_at=NOW
    ).delete()
    assert age() == 0.0


def test_runs_behind_one_of_their_handler_that_is_at_work_are_served() -> None:
    for handler, seconds in (("slow", 4000), ("other", 20)):
        make_run(
            make_receipt(next_attempt_at=None),
            handler=handler,
            next_attempt_at=NOW - timedelta(seconds=seconds),
        )
    assert age("processing") == 4000.0
    make_run(
        make_receipt(next_attempt_at=None),
        handler="slow",
        status="running",
        leased_until=NOW + timedelta(seconds=1),
    )
    assert age("processing") == 20.0


# --- limits ---------------------------------------------------------------------------------------


def test_how_old_work_may_be_is_a_setting(settings: Any) -> None:
    beat_all()
    wait("delivery", 50)
    wait("retry", 50)
    settings.WEBHOOKS_READY_AGE_SECONDS = settings.WEBHOOKS_READY_AGE_SECONDS | {"retry": 49}
    assert ready()[1]["problems"] == {"retry": "work is overdue"}


def test_how_long_a_family_may_be_silent_is_a_setting(settings: Any) -> None:
    for family in FAMILIES:
        beat(family, 20)
    settings.WEBHOOKS_READY_SILENT_SECONDS = settings.WEBHOOKS_READY_SILENT_SECONDS | {
        "processing": 19
    }
    assert ready()[1]["problems"] == {"processing": "no pump is alive"}


# --- families without pumps -----------------------------------------------------------------------


def test_a_family_that_is_new_has_until_its_first_task_should_have_run() -> None:
    for family in PUMPED:
        beat(family)
    ensure_schedules()
    assert ready()[0] == 200
    Schedule.objects.update(next_run=NOW - timedelta(seconds=201))
    assert ready()[1]["problems"] == dict.fromkeys(FAMILIES[3:], "no pump is alive")


@pytest.mark.parametrize(
    ("task", "family"),
    [("monitoring.tasks.watch", "monitoring"), ("analytics.tasks.roll_up", "analytics")],
)
def test_each_task_that_has_ended_is_a_sign_of_life(task: str, family: str, settings: Any) -> None:
    for _ in range(2):
        post_execute.send(sender="django_q", task={"func": task, "success": False})
    assert list(Heartbeat.objects.values_list("host", "cluster", "family", "slot", "beat_at")) == [
        (settings.HUB_NODE, "hub", family, 0, NOW)
    ]


def test_other_tasks_are_none() -> None:
    post_execute.send(sender="django_q", task={"func": "incoming.tasks.prune"})
    post_execute.send(sender="django_q", task={"func": print})
    assert not Heartbeat.objects.exists()


def test_a_database_that_is_away_does_not_hurt_who_ended_a_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(Heartbeat.objects, "update_or_create", fail)
    post_execute.send(sender="django_q", task={"func": "monitoring.tasks.watch"})
