"""Looking whether endpoints are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine

from outgoing.health import run_due_health_checks
from subscriptions.models import Subscription
from tests.factories import make_subscription
from tests.lib.receiver import answer, receiver, status

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVERY = timedelta(minutes=15)


@pytest.fixture(autouse=True)
def moment() -> Any:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.mark.parametrize("code", [200, 404, 405, 503])
def test_any_whole_answer_counts(code: int) -> None:
    with receiver(answer(status(code))) as here:
        make_subscription(url=here.url, health_problem="it took no connection")
        assert run_due_health_checks() == 1
    (arrived,) = here.arrived
    assert arrived.line == "HEAD /hook HTTP/1.1"
    assert (arrived.body, "webhook-signature" in arrived.headers) == (b"", False)
    row = Subscription.objects.get()
    assert (row.health_checked_at, row.health_problem) == (NOW, "")
    assert row.health_check_due_at == NOW + EVERY


def test_what_is_not_there_is_said() -> None:
    make_subscription(url="http://127.0.0.1:9/")
    run_due_health_checks()
    assert Subscription.objects.get().health_problem == "it took no connection"


@pytest.mark.parametrize(
    "fields",
    [
        {"checks_health": False},
        {"status": "paused"},
        {"status": "draft"},
        {"health_check_due_at": NOW + timedelta(seconds=1)},
    ],
)
def test_looks_at_nothing_else(fields: dict[str, Any]) -> None:
    make_subscription(url="http://127.0.0.1:9/", **fields)
    assert run_due_health_checks() == 0
    assert Subscription.objects.get().health_checked_at is None


def test_looks_again_after_a_while(moment: Any) -> None:
    make_subscription(url="http://127.0.0.1:9/")
    assert [run_due_health_checks(), run_due_health_checks()] == [1, 0]
    moment.shift(EVERY)
    assert run_due_health_checks() == 1
