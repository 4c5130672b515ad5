"""Writing down what became of attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from monitoring.models import Activity, AuditEntry
from outgoing.judge import next_step
from outgoing.models import Attempt, Delivery, Retry
from outgoing.querysets import Claim
from outgoing.record import Result, record_results
from subscriptions.models import Subscription
from subscriptions.services import set_status
from tests.factories import make_delivery, make_event, make_subscription
from webhooks_project.lib.ids import new_id
from webhooks_project.lib.outbound import Failure, Response
from webhooks_project.lib.redaction import MASK

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, 123456, tzinfo=UTC)
STARTED = NOW - timedelta(seconds=2)
Status = Delivery.Status


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def claim_one(**fields: Any) -> Claim:
    make_delivery(**{"next_attempt_at": NOW - timedelta(seconds=3)} | fields)
    (claim,) = Delivery.objects.claim(now=NOW, lane=Delivery.Lane.FIRST, limit=1)
    return claim


def result(claim: Claim, response: Response, **fields: Any) -> Result:
    return Result(
        **{
            "claim": claim,
            "account_id": Delivery.objects.get(pk=claim.delivery_id).account_id,
            "correlation_id": "request-1",
            "response": response,
            "step": next_step(
                response, number=claim.attempt_count - claim.attempts_before + 1, now=NOW
            ),
            "started_at": STARTED,
            "request_headers": {"content-type": "application/json"},
            "request_bytes": 77,
        }
        | fields
    )


def record(claim: Claim, response: Response, **fields: Any) -> Delivery:
    assert record_results([result(claim, response, **fields)], worker="node/delivery/0") == 1
    return Delivery.objects.get(pk=claim.delivery_id)


def nothing_waits(row: Delivery) -> bool:
    return (row.lease_token, row.leased_until, row.lane) == (None, None, None)


def test_a_delivered_one_has_its_attempt_with_everything_that_was_seen() -> None:
    claim = claim_one()
    response = Response(
        status=202,
        headers={"content-type": "text/plain", "set-cookie": "secret=1", "x-thing": "Zoë"},
        body=b"thanks\x00\xff",
        body_bytes=100_000,
        dns_ms=1.0,
        connect_ms=2.5,
        tls_ms=None,
        first_byte_ms=9.0,
        total_ms=12.25,
        address="127.0.0.1",
        protocol="HTTP/2",
    )
    row = record(claim, response)
    assert (row.status, row.delivered_at, row.attempt_count) == (Status.DELIVERED, NOW, 1)
    assert (row.last_cause, row.last_status_code) == ("", 202)
    assert nothing_waits(row)
    attempt = Attempt.objects.get()
    assert (attempt.delivery_id, attempt.number) == (row.pk, 1)
    assert (attempt.trigger, attempt.outcome, attempt.cause) == ("first", "succeeded", "")
    assert (attempt.status_code, attempt.detail) == (202, "")
    assert (attempt.started_at, attempt.queue_wait_ms) == (STARTED, 1000.0)
    assert (attempt.dns_ms, attempt.connect_ms, attempt.tls_ms) == (1.0, 2.5, None)
    assert (attempt.first_byte_ms, attempt.duration_ms) == (9.0, 12.25)
    assert attempt.request_headers == {"content-type": "application/json"}
    assert attempt.request_bytes == 77
    assert attempt.response_headers == {
        "content-type": "text/plain",
        "set-cookie": MASK,
        "x-thing": "Zoë",
    }
    assert (bytes(attempt.response_body), attempt.response_bytes) == (b"thanks\x00\xff", 100_000)
    assert (attempt.address, attempt.protocol) == ("127.0.0.1", "HTTP/2")
    assert attempt.worker == "node/delivery/0"
    assert not Retry.objects.exists()
    assert not Activity.objects.exists()


@pytest.mark.parametrize(
    ("response", "cause", "status_code"),
    [
        (Response(status=500), "status_5xx", 500),
        (Response(status=302), "status_3xx", 302),
        (Response(failure=Failure.RESET, detail="gone " * 100), "reset", None),
        (Response(failure=Failure.FORBIDDEN_ADDRESS, detail="10.0.0.1"), "forbidden_address", None),
    ],
)
def test_a_failed_one_waits_for_its_retry(
    response: Response, cause: str, status_code: int | None
) -> None:
    row = record(claim_one(), response)
    assert (row.status, row.trigger, row.attempt_count) == (Status.PENDING, "retry", 1)
    assert (row.last_cause, row.last_status_code, row.delivered_at) == (cause, status_code, None)
    assert nothing_waits(row)
    attempt = Attempt.objects.get()
    assert (attempt.outcome, attempt.cause, attempt.status_code) == ("failed", cause, status_code)
    assert attempt.gave_up is False
    assert attempt.detail == response.detail[:300]
    retry = Retry.objects.get()
    assert (retry.delivery, retry.number, retry.cause) == (row, 2, cause)
    assert retry.created_at == NOW
    assert timedelta(seconds=4) <= retry.due_at - NOW <= timedelta(seconds=6)


def test_the_schedule_counts_from_when_it_was_last_asked_for() -> None:
    claim = claim_one(attempt_count=8, attempts_before=8, trigger="redeliver")
    row = record(claim, Response(status=500))
    assert (row.status, row.attempt_count) == (Status.PENDING, 9)
    retry = Retry.objects.get()
    assert retry.number == 10
    assert retry.due_at - NOW <= timedelta(seconds=6)
    assert (Attempt.objects.get().number, Attempt.objects.get().trigger) == (9, "redeliver")


def test_the_last_failure_exhausts_it_and_is_told() -> None:
    claim = claim_one(attempt_count=7, trigger="retry")
    with TestCase.captureOnCommitCallbacks(execute=True):
        row = record(claim, Response(status=500))
    assert (row.status, row.attempt_count, row.last_cause) == (Status.EXHAUSTED, 8, "status_5xx")
    assert nothing_waits(row)
    assert not Retry.objects.exists()
    assert Attempt.objects.get().gave_up is True
    activity = Activity.objects.get(kind="delivery.exhausted")
    assert activity.account_id == row.account_id
    assert (activity.object_type, activity.object_id) == (
        "subscriptions.subscription",
        str(row.subscription_id),
    )
    assert activity.text == f"Delivery {row.pk} was given up after 8 attempts."


def test_410_disables_the_subscription_and_holds_its_delivery() -> None:
    claim = claim_one()
    row = record(claim, Response(status=410))
    assert (row.status, row.trigger, row.attempt_count) == (Status.HELD, "retry", 1)
    assert nothing_waits(row)
    assert not Retry.objects.exists()
    subscription = Subscription.objects.get()
    assert (subscription.status, subscription.disabled_at) == (Subscription.Status.DISABLED, NOW)
    assert subscription.status_reason == "the endpoint answered 410 Gone"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_kind) == ("subscription.disabled", "system")
    attempt = Attempt.objects.get()
    assert (attempt.cause, attempt.gave_up) == ("status_4xx", False)


@pytest.mark.parametrize("status", ["archived", "disabled", "expired", "verifying"])
def test_410_changes_nothing_of_a_subscription_that_is_no_longer_in_use(status: str) -> None:
    claim = claim_one()
    set_status(subscription=Subscription.objects.get(), status=status, reason="by hand")
    row = record(claim, Response(status=410))
    assert row.status == Status.HELD
    subscription = Subscription.objects.get()
    assert (subscription.status, subscription.status_reason) == (status, "by hand")
    assert AuditEntry.objects.count() == 1


def test_410_of_many_at_once_disables_once() -> None:
    subscription = make_subscription()
    for _ in range(3):
        make_delivery(make_event(subscription.account), subscription, next_attempt_at=NOW)
    claims = Delivery.objects.claim(now=NOW, lane=0, limit=3)
    stored = record_results([result(claim, Response(status=410)) for claim in claims], worker="w")
    assert stored == 3
    assert Delivery.objects.filter(status="held").count() == Attempt.objects.count() == 3
    assert AuditEntry.objects.filter(action="subscription.disabled").count() == 1


# --- fencing (promise 5) --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "response", [Response(status=200), Response(status=500), Response(status=410)]
)
@pytest.mark.parametrize("count", [0, 7])
def test_a_late_worker_writes_nothing(response: Response, count: int) -> None:
    claim = claim_one(attempt_count=count)
    another = new_id()
    Delivery.objects.update(lease_token=another)
    before = Delivery.objects.values().get()
    assert record_results([result(claim, response)], worker="late") == 0
    assert Delivery.objects.values().get() == before
    assert not Attempt.objects.exists()
    assert not Retry.objects.exists()
    assert not Activity.objects.exists()
    assert Subscription.objects.get().status == Subscription.Status.ACTIVE


def test_a_late_result_does_not_spoil_the_others() -> None:
    subscription = make_subscription()
    for _ in range(3):
        make_delivery(make_event(subscription.account), subscription, next_attempt_at=NOW)
    claims = Delivery.objects.claim(now=NOW, lane=0, limit=3)
    Delivery.objects.filter(pk=claims[1].delivery_id).update(lease_token=new_id())
    results = [
        result(claim, Response(status=status))
        for claim, status in zip(claims, (200, 200, 500), strict=True)
    ]
    assert record_results(results, worker="w") == 2
    assert set(Attempt.objects.values_list("delivery_id", flat=True)) == {
        claims[0].delivery_id,
        claims[2].delivery_id,
    }
    assert Retry.objects.get().pk == claims[2].delivery_id
    assert Delivery.objects.get(pk=claims[1].delivery_id).status == Status.DELIVERING


def test_an_error_writes_nothing_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = claim_one(attempt_count=7)

    def fail(**_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("outgoing.record.journal.record_activity", fail)
    with pytest.raises(RuntimeError):
        record_results([result(claim, Response(status=500))], worker="w")
    assert Delivery.objects.get().status == Status.DELIVERING
    assert not Attempt.objects.exists()


def test_many_results_take_as_many_queries_as_one() -> None:
    failing = {"failing_since": STARTED, "last_failed_at": STARTED}
    subscription = make_subscription(**failing)
    counts = []
    for size in (1, 30):
        for _ in range(size):
            make_delivery(make_event(subscription.account), subscription, next_attempt_at=NOW)
        claims = Delivery.objects.claim(now=NOW, lane=0, limit=size)
        results = [result(claim, Response(status=500)) for claim in claims]
        with CaptureQueriesContext(connection) as queries:
            assert record_results(results, worker="w") == size
        counts.append(len([q for q in queries if "SAVEPOINT" not in q["sql"]]))
    assert counts[0] == counts[1] <= 5
