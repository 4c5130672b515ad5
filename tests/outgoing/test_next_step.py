"""What an answer means for a delivery."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from outgoing.judge import Delivered, Disable, GiveUp, RetryAt, cause_of, next_step
from outgoing.models import Attempt
from outgoing.policies import RetryPolicy
from webhooks_project.lib.backoff import SCHEDULE_SECONDS, delay_seconds
from webhooks_project.lib.outbound import Failure, Response

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
Cause = Attempt.Cause
STEPS = [(1, 5), (2, 300), (3, 1_800), (4, 7_200), (5, 18_000), (6, 36_000), (7, 36_000)]


def delay_of(response: Response, *, number: int = 1) -> float:
    step = next_step(response, number=number, now=NOW)
    assert isinstance(step, RetryAt)
    return (step.due_at - NOW).total_seconds()


@pytest.fixture
def no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = delay_seconds.__kwdefaults__ | {"rand": lambda: 0.5}
    monkeypatch.setattr(delay_seconds, "__kwdefaults__", defaults)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 226, 299])
@pytest.mark.parametrize("number", [1, 7, 8, 99])
def test_any_2xx_is_delivered(status: int, number: int) -> None:
    assert next_step(Response(status=status), number=number, now=NOW) == Delivered()


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (Response(status=300), Cause.STATUS_3XX),
        (Response(status=301, headers={"location": "http://127.0.0.1/"}), Cause.STATUS_3XX),
        (Response(status=304), Cause.STATUS_3XX),
        (Response(status=307), Cause.STATUS_3XX),
        (Response(status=308), Cause.STATUS_3XX),
        (Response(status=400), Cause.STATUS_4XX),
        (Response(status=401), Cause.STATUS_4XX),
        (Response(status=404), Cause.STATUS_4XX),
        (Response(status=409), Cause.STATUS_4XX),
        (Response(status=499), Cause.STATUS_4XX),
        (Response(status=500), Cause.STATUS_5XX),
        (Response(status=502), Cause.STATUS_5XX),
        (Response(status=599), Cause.STATUS_5XX),
        (Response(status=199), Cause.STATUS_1XX),
        (Response(status=600), Cause.STATUS_OTHER),
        (Response(status=999), Cause.STATUS_OTHER),
        (Response(failure=Failure.DNS), Cause.DNS),
        (Response(failure=Failure.REFUSED), Cause.REFUSED),
        (Response(failure=Failure.RESET), Cause.RESET),
        (Response(failure=Failure.TLS), Cause.TLS),
        (Response(failure=Failure.FORBIDDEN_ADDRESS), Cause.FORBIDDEN_ADDRESS),
        (Response(failure=Failure.TOO_LARGE), Cause.TOO_LARGE),
        (Response(failure=Failure.BAD_RESPONSE), Cause.BAD_RESPONSE),
        (Response(failure=Failure.INVALID_URL), Cause.INVALID_URL),
        (Response(failure=Failure.CANCELLED), Cause.CANCELLED),
        (Response(failure=Failure.UNSIGNABLE), Cause.UNSIGNABLE),
    ],
)
def test_anything_else_is_tried_again_after_five_seconds(response: Response, cause: Cause) -> None:
    assert next_step(response, number=1, now=NOW) == RetryAt(cause, NOW + timedelta(seconds=5))
    assert next_step(response, number=8, now=NOW) == GiveUp(cause)


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (Response(status=429), Cause.STATUS_4XX),
        (Response(status=503), Cause.STATUS_5XX),
        (Response(failure=Failure.TIMEOUT_DNS), Cause.TIMEOUT_DNS),
        (Response(failure=Failure.TIMEOUT_CONNECT), Cause.TIMEOUT_CONNECT),
        (Response(failure=Failure.TIMEOUT_TLS), Cause.TIMEOUT_TLS),
        (Response(failure=Failure.TIMEOUT_RESPONSE), Cause.TIMEOUT_RESPONSE),
    ],
)
def test_a_receiver_under_load_is_left_alone_for_a_minute_at_least(
    response: Response, cause: Cause
) -> None:
    assert next_step(response, number=1, now=NOW) == RetryAt(cause, NOW + timedelta(seconds=60))
    assert next_step(response, number=2, now=NOW) == RetryAt(cause, NOW + timedelta(seconds=300))
    assert next_step(response, number=8, now=NOW) == GiveUp(cause)


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(("number", "seconds"), STEPS)
def test_waits_as_the_schedule_says(number: int, seconds: int) -> None:
    assert delay_of(Response(status=500), number=number) == seconds


@pytest.mark.parametrize(("number", "seconds"), STEPS)
def test_spreads_each_wait_by_a_fifth_up_and_down(number: int, seconds: int) -> None:
    delays = [delay_of(Response(status=500), number=number) for _ in range(300)]
    assert 0.8 * seconds <= min(delays) < 0.9 * seconds
    assert 1.1 * seconds < max(delays) <= 1.2 * seconds


@pytest.mark.parametrize("number", [8, 9, 100])
def test_gives_up_at_the_end_of_the_schedule(number: int) -> None:
    assert len(SCHEDULE_SECONDS) == 7
    step = next_step(Response(status=500), number=number, now=NOW)
    assert step == GiveUp(Cause.STATUS_5XX)


@pytest.mark.parametrize("number", [1, 8])
def test_410_disables_whatever_the_number(number: int) -> None:
    response = Response(status=410, headers={"retry-after": "5"})
    assert next_step(response, number=number, now=NOW) == Disable(Cause.STATUS_4XX)


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(
    ("retry_after", "number", "seconds"),
    [
        ("100", 1, 100),
        (" 100 ", 1, 100),
        ("0", 1, 5),  # never sooner than scheduled
        ("4", 1, 5),
        ("306", 1, 305),  # at most the next two steps together
        ("9999999999", 1, 305),
        ("9" * 5_000, 1, 305),
        ("86400", 7, 72_000),  # and the last step twice
        (format_datetime(NOW + timedelta(seconds=200), usegmt=True), 1, 200),
        (format_datetime(NOW - timedelta(seconds=200), usegmt=True), 1, 5),
        ("-5", 1, 5),
        ("1.5", 1, 5),
        ("soon", 1, 5),
        ("", 1, 5),
        ("5, 5", 1, 5),
    ],
)
@pytest.mark.parametrize("status", [500, 404, 302])
def test_honours_retry_after_by_waiting_longer(
    retry_after: str, number: int, seconds: int, status: int
) -> None:
    response = Response(status=status, headers={"retry-after": retry_after})
    assert delay_of(response, number=number) == seconds


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(("retry_after", "seconds"), [("10", 60), ("61", 61)])
def test_retry_after_does_not_shorten_the_minute(retry_after: str, seconds: int) -> None:
    response = Response(status=429, headers={"retry-after": retry_after})
    assert delay_of(response) == seconds


def test_retry_after_opens_no_ninth_attempt() -> None:
    response = Response(status=503, headers={"retry-after": "10"})
    assert next_step(response, number=8, now=NOW) == GiveUp(Cause.STATUS_5XX)


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_has_a_cause_of_its_name(failure: Failure) -> None:
    assert cause_of(Response(failure=failure)) == Cause(failure.value)


def test_a_failure_counts_more_than_a_status() -> None:
    # An answer that was cut short is no success, whatever it began with.
    assert cause_of(Response(status=200, failure=Failure.BAD_RESPONSE)) == Cause.BAD_RESPONSE


# --- policies -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_jitter")
@pytest.mark.parametrize(
    ("age", "step"),
    [
        (95, RetryAt(Cause.STATUS_5XX, NOW + timedelta(seconds=5))),
        (96, GiveUp(Cause.STATUS_5XX)),
    ],
)
def test_gives_up_at_the_maximum_age(age: int, step: object) -> None:
    policy = RetryPolicy(max_age_seconds=100)
    since = NOW - timedelta(seconds=age)
    assert next_step(Response(status=500), number=1, now=NOW, since=since, policy=policy) == step


@pytest.mark.usefixtures("no_jitter")
def test_a_receiver_that_asks_for_more_time_than_the_maximum_age_is_given_up() -> None:
    policy = RetryPolicy(max_age_seconds=100)
    response = Response(status=503, headers={"retry-after": "101"})
    step = next_step(response, number=1, now=NOW, since=NOW, policy=policy)
    assert step == GiveUp(Cause.STATUS_5XX)


def test_spreads_by_the_policy_s_own_jitter() -> None:
    policy = RetryPolicy(schedule=(100,), jitter=0)
    step = next_step(Response(status=500), number=1, now=NOW, policy=policy)
    assert step == RetryAt(Cause.STATUS_5XX, NOW + timedelta(seconds=100))
