"""Looking whether endpoints are there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from outgoing.health import run_due_health_checks
from subscriptions.errors import SubscriptionNotAcceptable
from subscriptions.models import Subscription
from subscriptions.services import change_subscription
from tests.factories import make_subscription
from tests.lib.certificates import Authority, server_context
from tests.lib.receiver import answer, receiver, status

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVERY = timedelta(minutes=15)
DAY = timedelta(days=1)


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


# --- the other two kinds --------------------------------------------------------------------------

CA = Authority("Health CA")


def test_a_handshake_sends_nothing(tmp_path: Path) -> None:
    with receiver(answer(), context=server_context(tmp_path, CA.issue(ends=400 * DAY))) as here:
        make_subscription(
            url=here.url.replace("http:", "https:"),
            health_check_kind="tls",
            ca_certificates=CA.certificate,
            health_problem="it took no connection",
            health_check_failures=4,
        )
        assert run_due_health_checks() == 1
    assert (here.connections, here.arrived) == (1, [])
    row = Subscription.objects.get()
    assert (row.health_problem, row.health_check_failures) == ("", 0)
    assert row.certificate_expires_at is not None
    result = row.health_check_result
    assert (result["kind"], result["status"], result["failure"]) == ("tls", None, None)
    assert result["tls_ms"] > 0
    assert result["certificate_expires_at"] == row.certificate_expires_at.isoformat()


def test_a_handshake_without_tls_is_a_connection() -> None:
    with receiver(answer()) as here:
        make_subscription(url=here.url, health_check_kind="tls")
        run_due_health_checks()
    assert here.arrived == []
    assert Subscription.objects.get().health_problem == ""


def test_a_handshake_that_fails_says_why(tmp_path: Path) -> None:
    with receiver(answer(), context=server_context(tmp_path, CA.issue())) as here:
        make_subscription(
            url=here.url.replace("http:", "https:"),  # by an authority that nobody knows
            health_check_kind="tls",
        )
        make_subscription(url="http://127.0.0.1:9/", health_check_kind="tls", name="Away")
        run_due_health_checks()
    problems = dict(Subscription.objects.values_list("name", "health_problem"))
    assert problems == {
        "Receiver": "its certificate was not accepted, or no TLS connection came about",
        "Away": "it took no connection",
    }


@pytest.mark.parametrize("kind", ["head", "tls", "probe"])
def test_no_kind_connects_to_a_forbidden_address(kind: str, settings: Any) -> None:
    settings.WEBHOOKS_ALLOWED_NETWORKS = []
    with receiver(answer()) as here:
        make_subscription(url=here.url, health_check_kind=kind)
        run_due_health_checks()
    assert here.connections == 0
    row = Subscription.objects.get()
    assert row.health_problem == "its name leads to an address that is not allowed"
    assert row.health_check_result["failure"] == "forbidden_address"


@pytest.mark.parametrize(
    ("code", "problem"), [(204, ""), (500, "it answered 500 after"), (404, "it answered 404 after")]
)
def test_a_probe_is_a_signed_test_delivery(code: int, problem: str) -> None:
    with receiver(answer(status(code))) as here:
        make_subscription(url=here.url, health_check_kind="probe")
        run_due_health_checks()
    [arrived] = here.arrived
    assert arrived.line == "POST /hook HTTP/1.1"
    assert orjson.loads(arrived.body)["type"] == "webhook.test"
    assert arrived.headers["webhook-signature"].startswith("v1,")
    row = Subscription.objects.get()
    assert row.health_problem.startswith(problem)
    assert bool(row.health_problem) == bool(problem)
    assert row.health_check_result["status"] == code


def test_a_probe_that_cannot_be_signed_is_not_sent() -> None:
    with receiver(answer()) as here:
        make_subscription(url=here.url, health_check_kind="probe", secret=None)
        run_due_health_checks()
    assert here.connections == 0
    assert Subscription.objects.get().health_problem == "no signing secret can be read"


def test_failures_are_counted_until_one_is_well(moment: Any) -> None:
    row = make_subscription(url="http://127.0.0.1:9/")
    counts = []
    for _ in range(3):
        run_due_health_checks()
        counts.append(Subscription.objects.get().health_check_failures)
        moment.shift(EVERY)
    with receiver(answer()) as here:
        Subscription.objects.filter(pk=row.pk).update(url=here.url)
        run_due_health_checks()
    assert [*counts, Subscription.objects.get().health_check_failures] == [1, 2, 3, 0]


def test_looks_as_often_as_it_says() -> None:
    make_subscription(url="http://127.0.0.1:9/", health_check_minutes=3)
    run_due_health_checks()
    assert Subscription.objects.get().health_check_due_at == NOW + timedelta(minutes=3)


def test_what_changes_is_looked_at_soon() -> None:
    row = make_subscription(
        url="http://127.0.0.1:9/", health_check_due_at=NOW + timedelta(minutes=9)
    )
    change_subscription(subscription=row, name="Another name")
    assert Subscription.objects.get().health_check_due_at == NOW + timedelta(minutes=9)
    change_subscription(subscription=row, health_check_kind="tls")
    assert Subscription.objects.get().health_check_due_at == NOW


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"health_check_minutes": 0}, "health_check_minutes"),
        ({"health_check_minutes": 1_441}, "health_check_minutes"),
        ({"health_check_kind": "ping"}, "health_check_kind"),
    ],
)
def test_refuses_what_cannot_be(changes: dict[str, Any], field: str) -> None:
    row = make_subscription()
    with pytest.raises(SubscriptionNotAcceptable) as refused:
        change_subscription(subscription=row, **changes)
    assert set(refused.value.extra["fields"]) == {field}  # type: ignore[call-overload]


def test_all_are_looked_at_in_one_turn_and_in_as_many_queries() -> None:
    counts = []
    for more in (1, 4):
        for _ in range(more):
            make_subscription(url="http://127.0.0.1:9/")
        Subscription.objects.update(health_check_due_at=NOW)
        with CaptureQueriesContext(connection) as queries:
            run_due_health_checks()
        # What is found is written endpoint by endpoint.
        counts.append(len([item for item in queries if item["sql"].startswith("SELECT")]))
    assert counts[0] == counts[1]
