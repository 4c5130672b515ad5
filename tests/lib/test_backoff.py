from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.backoff import (
    JITTER,
    OVERLOAD_SECONDS,
    SCHEDULE_SECONDS,
    delay_seconds,
    retry_after_seconds,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SECOND, MINUTE, HOUR = 1, 60, 3600


def middle() -> float:
    return 0.5


@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        (1, 5 * SECOND),
        (2, 5 * MINUTE),
        (3, 30 * MINUTE),
        (4, 2 * HOUR),
        (5, 5 * HOUR),
        (6, 10 * HOUR),
        (7, 10 * HOUR),
    ],
)
def test_waits_by_the_published_schedule(number: int, seconds: int) -> None:
    assert delay_seconds(number, rand=middle) == pytest.approx(seconds)
    assert delay_seconds(number, rand=lambda: 0.0) == pytest.approx(seconds * 0.8)
    assert delay_seconds(number, rand=lambda: 1.0) == pytest.approx(seconds * 1.2)


@pytest.mark.parametrize("number", [8, 9, 1000])
def test_ends_after_the_last_step(number: int) -> None:
    assert delay_seconds(number) is None
    assert delay_seconds(number, overloaded=True, retry_after_seconds=1) is None


@given(st.integers(1, 7), st.floats(0, 1))
def test_spreads_by_a_fifth_at_most(number: int, rand: float) -> None:
    step = SCHEDULE_SECONDS[number - 1]
    delay = delay_seconds(number, rand=lambda: rand)
    assert delay is not None
    assert step * (1 - JITTER) - 1e-6 <= delay <= step * (1 + JITTER) + 1e-6


def test_spreads_by_chance_when_nothing_else_is_said() -> None:
    assert len({delay_seconds(7) for _ in range(20)}) > 1


@pytest.mark.parametrize(("number", "expected"), [(1, OVERLOAD_SECONDS), (2, 5 * MINUTE)])
def test_leaves_an_overloaded_receiver_alone_for_a_minute(number: int, expected: float) -> None:
    assert delay_seconds(number, overloaded=True, rand=middle) == expected


@pytest.mark.parametrize(
    ("number", "asked", "expected"),
    [
        (1, 100.0, 100.0),  # longer than the step: honoured
        (2, 1.0, 300.0),  # shorter: never
        (1, 0.0, 5.0),
        (1, 999_999_999.0, 305.0),  # no longer than the next two steps
        (6, 999_999_999.0, 72_000.0),
        (7, 999_999_999.0, 72_000.0),  # the last step has none after it: twice itself
    ],
)
def test_honours_retry_after_by_waiting_longer(number: int, asked: float, expected: float) -> None:
    assert delay_seconds(number, retry_after_seconds=asked, rand=middle) == pytest.approx(expected)


def test_waits_the_longest_of_overload_and_retry_after() -> None:
    assert delay_seconds(1, overloaded=True, retry_after_seconds=30, rand=middle) == 60
    assert delay_seconds(1, overloaded=True, retry_after_seconds=90, rand=middle) == 90


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("120", 120.0),
        ("0", 0.0),
        (" 7 ", 7.0),
        ("999999999", 999_999_999.0),
        ("Wed, 04 Mar 2026 05:07:07 GMT", 60.0),
        ("Wednesday, 04-Mar-26 05:07:07 GMT", 60.0),  # RFC 850, obsolete but to be read
        ("Wed Mar  4 05:07:07 2026", 60.0),  # asctime, the same
        ("Wed, 04 Mar 2026 05:05:07 GMT", 0.0),  # past
    ],
)
def test_reads_a_retry_after_header(value: str, expected: float) -> None:
    assert retry_after_seconds(value, now=NOW) == expected


@pytest.mark.parametrize(
    "value",
    ["", " ", "soon", "-1", "1.5", "1e3", "9999999999", "١٢", "²", "0x10", "Wed, 99 Foo 2026", ","],
)
def test_passes_over_a_malformed_retry_after_header(value: str) -> None:
    assert retry_after_seconds(value, now=NOW) is None


@given(st.text())
def test_never_raises_on_any_retry_after_header(value: str) -> None:
    seconds = retry_after_seconds(value, now=NOW)
    assert seconds is None or seconds >= 0
