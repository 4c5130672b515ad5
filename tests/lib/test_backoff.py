from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.backoff import (
    JITTER,
    OVERLOAD_SECONDS,
    SCHEDULE_SECONDS,
    PlannedAttempt,
    Schedule,
    delay_seconds,
    parse_schedule,
    preview,
    retry_after_seconds,
)
from webhooks_project.lib.faults import Fault

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
        ("9999999999", 9_999_999_999.0),
        ("9" * 5_000, math.inf),
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
    ["", " ", "soon", "-1", "1.5", "1e3", "١٢", "²", "0x10", "Wed, 99 Foo 2026", ","],
)
def test_passes_over_a_malformed_retry_after_header(value: str) -> None:
    assert retry_after_seconds(value, now=NOW) is None


@given(st.text())
def test_never_raises_on_any_retry_after_header(value: str) -> None:
    seconds = retry_after_seconds(value, now=NOW)
    assert seconds is None or seconds >= 0


# --- schedules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "steps", "jitter"),
    [
        ([], (), 0.2),
        ([5, 60], (5, 60), 0.2),
        ({"kind": "fixed", "seconds": [60, 600], "jitter": 0}, (60, 600), 0),
        (
            {"kind": "exponential", "base": 5, "factor": 2, "cap": 60, "attempts": 7},
            (5, 10, 20, 40, 60, 60),
            0.2,
        ),
        ({"kind": "exponential", "base": 2, "factor": 1.5, "attempts": 4}, (2, 3, 4), 0.2),
        ({"kind": "exponential", "base": 90, "factor": 2, "cap": 60, "attempts": 3}, (60, 60), 0.2),
        ({"kind": "exponential", "base": 5, "factor": 2, "attempts": 1}, (), 0.2),
        ({"kind": "linear", "base": 60, "step": 30, "attempts": 4}, (60, 90, 120), 0.2),
        ({"kind": "linear", "base": 60, "step": 0, "attempts": 3, "jitter": 0.5}, (60, 60), 0.5),
        (
            {"kind": "linear", "base": 60, "step": 60, "cap": 100, "attempts": 4},
            (60, 100, 100),
            0.2,
        ),
    ],
)
def test_reads_a_schedule(document: object, steps: tuple[int, ...], jitter: float) -> None:
    assert parse_schedule(document) == Schedule(steps, jitter)


def test_the_steepest_schedule_ends_at_thirty_days() -> None:
    document = {"kind": "exponential", "base": 1, "factor": 100, "attempts": 51}
    steps = parse_schedule(document).steps
    assert (len(steps), steps[0], steps[-1]) == (50, 1, 30 * 24 * HOUR)


EXPONENTIAL = {"kind": "exponential", "base": 5, "factor": 2, "attempts": 5}
LINEAR = {"kind": "linear", "base": 5, "step": 5, "attempts": 5}


@pytest.mark.parametrize(
    ("document", "path", "code"),
    [
        ("5", "", "not_a_schedule"),
        (None, "", "not_a_schedule"),
        ({}, "/kind", "unknown_kind"),
        ({"kind": "random"}, "/kind", "unknown_kind"),
        ({"kind": []}, "/kind", "unknown_kind"),
        ([5] * 51, "", "too_many"),
        ([5, 0], "/1", "out_of_range"),
        ([True], "/0", "out_of_range"),
        ({"kind": "fixed"}, "/seconds", "required"),
        ({"kind": "fixed", "seconds": [0]}, "/seconds/0", "out_of_range"),
        (LINEAR | {"factor": 2}, "/factor", "unknown_name"),
        (EXPONENTIAL | {"step": 2}, "/step", "unknown_name"),
        ({"kind": "exponential", "factor": 2, "attempts": 5}, "/base", "required"),
        ({"kind": "exponential", "base": 5, "attempts": 5}, "/factor", "required"),
        ({"kind": "exponential", "base": 5, "factor": 2}, "/attempts", "required"),
        ({"kind": "linear", "base": 5, "attempts": 5}, "/step", "required"),
        (EXPONENTIAL | {"base": 0}, "/base", "out_of_range"),
        (EXPONENTIAL | {"base": 1.5}, "/base", "out_of_range"),
        (EXPONENTIAL | {"factor": 0.5}, "/factor", "out_of_range"),
        (EXPONENTIAL | {"factor": float("inf")}, "/factor", "out_of_range"),
        (EXPONENTIAL | {"factor": float("nan")}, "/factor", "out_of_range"),
        (EXPONENTIAL | {"cap": 31 * 24 * HOUR}, "/cap", "out_of_range"),
        (EXPONENTIAL | {"attempts": 52}, "/attempts", "out_of_range"),
        (EXPONENTIAL | {"attempts": 0}, "/attempts", "out_of_range"),
        (EXPONENTIAL | {"jitter": 1.5}, "/jitter", "out_of_range"),
        (EXPONENTIAL | {"jitter": True}, "/jitter", "out_of_range"),
        (LINEAR | {"step": -1}, "/step", "out_of_range"),
    ],
)
def test_refuses_what_is_no_schedule(document: object, path: str, code: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_schedule(document)
    assert (caught.value.path, caught.value.code) == (path, code)


def test_spreads_by_the_jitter_that_is_asked_for() -> None:
    assert delay_seconds(1, schedule=[100], jitter=0.5, rand=lambda: 0.0) == 50
    assert delay_seconds(1, schedule=[100], jitter=0, rand=lambda: 1.0) == 100


def test_tells_when_each_attempt_would_be() -> None:
    assert preview(Schedule((10, 100), 0.2)) == [
        PlannedAttempt(1, 0, 0, 0),
        PlannedAttempt(2, 10, 8, 12),
        PlannedAttempt(3, 110, 88, 132),
    ]


@pytest.mark.parametrize(
    ("max_age", "expected"),
    [
        (7, [(1, 0, 0, 0)]),
        (11, [(1, 0, 0, 0), (2, 10, 8, 11)]),
        (100, [(1, 0, 0, 0), (2, 10, 8, 12), (3, 100, 88, 100)]),
    ],
)
def test_plans_nothing_beyond_the_maximum_age(max_age: int, expected: list[Any]) -> None:
    planned = preview(Schedule((10, 100), 0.2), max_age_seconds=max_age)
    assert planned == [PlannedAttempt(*item) for item in expected]


@given(st.lists(st.integers(1, 86_400), max_size=10), st.floats(0, 1), st.lists(st.floats(0, 1)))
def test_every_chain_of_delays_lies_within_what_was_told(
    steps: list[int], jitter: float, chances: list[float]
) -> None:
    planned = preview(Schedule(tuple(steps), jitter))
    at = 0.0
    for number, chance in enumerate(chances[: len(steps)], start=1):
        delay = delay_seconds(number, schedule=steps, jitter=jitter, rand=lambda: chance)  # noqa: B023
        assert delay is not None
        at += delay
        told = planned[number]
        assert told.earliest_seconds - 1e-3 <= at <= told.latest_seconds + 1e-3
