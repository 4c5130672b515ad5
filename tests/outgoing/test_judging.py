"""What each answer of a real receiver comes to: the attempt's cause, and the next step."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
import time_machine

from outgoing.models import Attempt, Delivery, Retry
from outgoing.retries import release_due_retries
from subscriptions.models import Subscription
from tests.factories import make_delivery, make_subscription
from tests.lib.receiver import OK, Line, answer, receiver, status
from tests.outgoing.pump import deliver

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _frozen() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def attempt_at(url: str, **fields: Any) -> Attempt:
    make_delivery(subscription=make_subscription(url=url, **fields))
    assert deliver() == 1
    return Attempt.objects.get()


def wait_of(script: Any, **fields: Any) -> float:
    """Seconds until the next attempt, after one at a receiver with this script."""
    with receiver(script) as there:
        attempt_at(there.url, **fields)
    return (Retry.objects.get().due_at - NOW).total_seconds()


def reads_then(act: Callable[[Line], None]) -> Callable[[Line], None]:
    def script(line: Line) -> None:
        line.read()
        act(line)

    return script


HUGE_HEAD = b"HTTP/1.1 200 OK\r\n" + b"x: " + b"a" * 70_000 + b"\r\n\r\n"


# --- causes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_any_2xx_with_its_head_whole_is_a_success(code: int) -> None:
    with receiver(answer(status(code))) as there:
        attempt = attempt_at(there.url)
    assert (attempt.outcome, attempt.cause, attempt.status_code) == ("succeeded", "", code)
    assert Delivery.objects.get().status == "delivered"


@pytest.mark.parametrize(
    ("script", "cause", "code"),
    [
        (answer(status(301, "Location: /other")), "status_3xx", 301),
        (answer(status(302, "Location: http://127.0.0.1:1/")), "status_3xx", 302),
        (answer(status(304)), "status_3xx", 304),
        (answer(status(307, "Location: /other")), "status_3xx", 307),
        (answer(status(308, "Location: /other")), "status_3xx", 308),
        (answer(status(400)), "status_4xx", 400),
        (answer(status(404)), "status_4xx", 404),
        (answer(status(429)), "status_4xx", 429),
        (answer(status(500)), "status_5xx", 500),
        (answer(status(503)), "status_5xx", 503),
        (answer(OK[:-6], close=True), "bad_response", None),
        (answer(b"HTTP/1.1 200 OK\r\n", close=True), "bad_response", None),
        (answer(b"SSH-2.0-OpenSSH_9.6\r\n", close=True), "bad_response", None),
        (answer(HUGE_HEAD, close=True), "too_large", None),
        (reads_then(lambda line: line.reset()), "reset", None),
        (reads_then(lambda line: None), "reset", None),
        (reads_then(lambda line: line.hang()), "timeout_response", None),
    ],
)
def test_anything_else_is_a_failure_with_its_cause(
    script: Any, cause: str, code: int | None
) -> None:
    with receiver(script) as there:
        attempt = attempt_at(there.url, timeout_seconds=1)
    assert (attempt.outcome, attempt.cause, attempt.status_code) == ("failed", cause, code)
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.last_cause) == ("pending", cause)
    retry = Retry.objects.get()
    assert (retry.number, retry.cause) == (2, cause)


def test_a_redirect_is_not_followed() -> None:
    with receiver(answer()) as other:
        location = f"Location: {other.url}"
        with receiver(answer(status(307, location))) as there:
            attempt_at(there.url)
    assert (len(there.arrived), other.arrived) == (1, [])


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:1/hook", "refused"),
        ("http://no-such-name.invalid/hook", "dns"),
        ("http://169.254.169.254/latest", "forbidden_address"),
        ("http://[::ffff:10.0.0.1]/hook", "forbidden_address"),
    ],
)
def test_where_there_is_nobody_the_cause_says_so(url: str, cause: str) -> None:
    assert attempt_at(url).cause == cause


def test_who_hangs_in_the_handshake_is_a_timeout_of_tls() -> None:
    with receiver(lambda line: line.hang()) as there:
        attempt = attempt_at(there.url.replace("http:", "https:"), timeout_seconds=1)
    assert attempt.cause == "timeout_tls"


def test_who_takes_no_connection_is_a_timeout_of_connecting() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        attempt = attempt_at(f"http://127.0.0.1:{port}/hook", timeout_seconds=1)
        for filler in fillers:
            filler.close()
    assert attempt.cause == "timeout_connect"


# --- steps ----------------------------------------------------------------------------------------


def test_410_disables_and_holds() -> None:
    with receiver(answer(status(410))) as there:
        attempt = attempt_at(there.url)
    assert (attempt.cause, attempt.status_code) == ("status_4xx", 410)
    subscription = Subscription.objects.get()
    assert (subscription.status, subscription.status_reason) == (
        "disabled", "the endpoint answered 410 Gone",
    )  # fmt: skip
    assert Delivery.objects.get().status == "held"
    assert not Retry.objects.exists()


@pytest.mark.parametrize("code", [429, 503])
def test_an_overloaded_receiver_is_left_alone_for_a_minute(code: int) -> None:
    assert wait_of(answer(status(code))) == 60


def test_one_that_timed_out_is_left_alone_for_a_minute() -> None:
    assert wait_of(lambda line: line.hang(), timeout_seconds=1) == 60


def test_any_other_waits_by_the_schedule() -> None:
    assert 4 <= wait_of(answer(status(500))) <= 6


FIXED = {"kind": "fixed", "seconds": [100, 200, 400], "jitter": 0}


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("250", 250),
        ("1", 100),  # never sooner than the schedule
        ("100000", 300),  # the schedule's next two steps at most
        (format_datetime(NOW + timedelta(seconds=250), usegmt=True), 250),
        (format_datetime(NOW + timedelta(days=9), usegmt=True), 300),
        (format_datetime(NOW - timedelta(days=9), usegmt=True), 100),
        ("soon", 100),
    ],
)
@pytest.mark.parametrize("code", [429, 503, 500])
def test_retry_after_is_honoured_in_seconds_and_as_a_date(
    value: str, seconds: float, code: int
) -> None:
    script = answer(status(code, f"Retry-After: {value}"))
    fields = {"retry_policy": "custom", "retry_schedule": FIXED}
    assert wait_of(script, **fields) == seconds


@pytest.mark.parametrize(
    ("age", "expected"), [(101, "pending"), (100, "pending"), (99, "exhausted")]
)
def test_no_attempt_is_planned_beyond_the_maximum_age(age: int, expected: str) -> None:
    with receiver(answer(status(500))) as there:
        attempt_at(
            there.url, retry_policy="custom", retry_schedule=FIXED, retry_max_age_seconds=age
        )
    assert Delivery.objects.get().status == expected


def test_the_age_counts_from_when_it_was_last_asked_for() -> None:
    with receiver(answer(status(500))) as there:
        subscription = make_subscription(
            url=there.url, retry_policy="custom", retry_schedule=FIXED, retry_max_age_seconds=100
        )
        long_ago = NOW - timedelta(days=1)
        redelivered = make_delivery(subscription=subscription, created_at=long_ago, asked_at=NOW)
        old = make_delivery(subscription=subscription, created_at=long_ago)
        deliver()
    redelivered.refresh_from_db()
    old.refresh_from_db()
    assert (redelivered.status, old.status) == ("pending", "exhausted")


def test_a_schedule_that_grows_is_followed_to_its_last_attempt() -> None:
    schedule = {"kind": "exponential", "base": 10, "factor": 3, "attempts": 4, "jitter": 0}
    waits = []
    with receiver(answer(status(500))) as there, time_machine.travel(NOW, tick=False) as clock:
        subscription = make_subscription(
            url=there.url, retry_policy="custom", retry_schedule=schedule
        )
        delivery = make_delivery(subscription=subscription)
        for _ in range(4):
            deliver()
            retry = Retry.objects.first()
            if retry is None:
                break
            waits.append((retry.due_at - datetime.now(UTC)).total_seconds())
            clock.move_to(retry.due_at)
            release_due_retries(retry.due_at)
    delivery.refresh_from_db()
    assert waits == [10, 30, 90]
    assert (delivery.status, delivery.attempt_count) == ("exhausted", 4)
