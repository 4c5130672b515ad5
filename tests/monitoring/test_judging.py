"""How well an endpoint or a source does, by its figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from monitoring.figures import (
    FIVE_MINUTES,
    HOUR,
    WINDOWS,
    Check,
    EndpointFigures,
    SourceFigures,
    main_cause,
)
from monitoring.judging import (
    Judgement,
    Standing,
    State,
    judge_endpoint,
    judge_source,
    next_standing,
    not_better,
)
from monitoring.thresholds import DEFAULTS, THRESHOLDS, limits_with, threshold_problems
from tests.monitoring.figures import NOW, arrivals, endpoint, outcome, source

AN_HOUR_AGO = NOW - timedelta(hours=1)


@pytest.mark.parametrize(
    ("figures", "state", "reasons"),
    [
        (endpoint(), State.HEALTHY, []),
        (endpoint(outcome(100, 5)), State.HEALTHY, []),
        (
            endpoint(outcome(100, 6)),
            State.DEGRADED,
            ["94.0 % of 100 attempts of the last 5 minutes succeeded"],
        ),
        (
            endpoint(None, outcome(100, 6)),
            State.DEGRADED,
            ["94.0 % of 100 attempts of the last hour succeeded"],
        ),
        (endpoint(outcome(100, 50)), State.DEGRADED, None),
        (endpoint(outcome(100, 51)), State.FAILING, None),
        (endpoint(outcome(4, 4)), State.HEALTHY, []),  # too few to say anything
        (endpoint(outcome(5, 5)), State.FAILING, None),
        (
            endpoint(outcome(p95_ms=5_001.0)),
            State.DEGRADED,
            ["one in twenty attempts takes longer than 5,001 ms"],
        ),
        (endpoint(outcome(p95_ms=5_000.0)), State.HEALTHY, []),
        (endpoint(outcome(4, p95_ms=9_000.0)), State.HEALTHY, []),
        (endpoint(consecutive_failures=2, failing_since=NOW), State.HEALTHY, []),
        (
            endpoint(consecutive_failures=3, failing_since=NOW),
            State.DEGRADED,
            ["3 failures without a success since 2026-03-04 12:00 UTC"],
        ),
        (endpoint(consecutive_failures=5, failing_since=NOW), State.FAILING, None),
        (endpoint(consecutive_failures=10, failing_since=NOW), State.FAILING, None),
        (endpoint(consecutive_failures=10, failing_since=AN_HOUR_AGO), State.DOWN, None),
        (
            endpoint(breaker="open"),
            State.FAILING,
            ["it is let alone for failing too much (its breaker is open)"],
        ),
        (
            endpoint(check=Check("head", NOW, "it took no connection", 1)),
            State.DEGRADED,
            ["the last check found: it took no connection"],
        ),
        (
            endpoint(check=Check("head", NOW, "it took no connection", 2)),
            State.DOWN,
            ["the last 2 checks found: it took no connection"],
        ),
        (endpoint(backlog=1, backlog_age_seconds=299), State.HEALTHY, []),
        (
            endpoint(backlog=1, backlog_age_seconds=300),
            State.DEGRADED,
            ["due deliveries have waited for 5 min"],
        ),
        (endpoint(backlog=1, backlog_age_seconds=3_600), State.FAILING, None),
        (endpoint(backlog=1, backlog_age_seconds=3_600, is_window_closed=True), State.HEALTHY, []),
        (endpoint(ends={"certificate": NOW + timedelta(days=14, seconds=1)}), State.HEALTHY, []),
        (
            endpoint(ends={"certificate": NOW + timedelta(days=14)}),
            State.DEGRADED,
            ["the endpoint's certificate ends on 2026-03-18 12:00 UTC"],
        ),
        (endpoint(why_not_judged="it is paused"), State.UNKNOWN, ["it is paused"]),
        (
            endpoint(day=outcome(0)),
            State.UNKNOWN,
            ["nothing was sent to it for a day"],
        ),
        (endpoint(day=outcome(0), check=Check("tls", NOW)), State.HEALTHY, []),
        (
            endpoint(day=outcome(0), check=Check("tls", NOW - timedelta(days=2))),
            State.UNKNOWN,
            None,
        ),
    ],
)
def test_an_endpoint(figures: EndpointFigures, state: State, reasons: list[str] | None) -> None:
    judgement = judge_endpoint(figures, DEFAULTS, NOW)
    assert judgement.state == state
    assert reasons is None or list(judgement.reasons) == reasons


def test_the_worst_reason_comes_first() -> None:
    figures = endpoint(outcome(100, 6), breaker="open", backlog_age_seconds=400)
    judgement = judge_endpoint(figures, DEFAULTS, NOW)
    assert judgement.state == State.FAILING
    assert [reason.partition(" ")[0] for reason in judgement.reasons] == ["it", "94.0", "due"]


@pytest.mark.parametrize(
    ("figures", "state", "reasons"),
    [
        (source(), State.HEALTHY, []),
        (source(arrivals(100, schema_mismatch=10)), State.HEALTHY, []),
        (
            source(arrivals(100, schema_mismatch=11)),
            State.DEGRADED,
            ["11.0 % of 100 calls of the last hour were refused"],
        ),
        (source(arrivals(100, schema_mismatch=51)), State.FAILING, None),
        (source(arrivals(100, schema_mismatch=100)), State.DOWN, None),
        (source(arrivals(9, schema_mismatch=9)), State.HEALTHY, []),  # too few
        (
            source(arrivals(1_000, signature_mismatch=3, timestamp_too_old=2)),
            State.DEGRADED,
            ["5 calls of the last hour could not be proved"],
        ),
        (source(arrivals(1_000, rate_limited=5)), State.HEALTHY, []),
        (
            source(dead_receipts={HOUR: 1}),
            State.DEGRADED,
            ["1 receipts died in the last hour"],
        ),
        (source(backlog=2, backlog_age_seconds=300), State.DEGRADED, None),
        (
            source(silent_seconds=7_200.0, usual_silence_seconds=3_600.0),
            State.DEGRADED,
            ["silent for 2.0 h; usual are 60 min"],
        ),
        (source(silent_seconds=21_600.0, usual_silence_seconds=3_600.0), State.FAILING, None),
        (source(silent_seconds=7_199.0, usual_silence_seconds=3_600.0), State.HEALTHY, []),
        (source(silent_seconds=1e9), State.HEALTHY, []),  # nobody knows what is usual
        (
            source(ends={"secret": NOW + timedelta(days=1)}),
            State.DEGRADED,
            ["the last secret ends on 2026-03-05 12:00 UTC"],
        ),
        (source(ends={"secret": NOW}), State.DOWN, None),
        (source(why_not_judged="it is disabled"), State.UNKNOWN, ["it is disabled"]),
        (
            source(arrivals(0), last_received_at=None, silent_seconds=None),
            State.UNKNOWN,
            ["nothing has come from it yet"],
        ),
    ],
)
def test_a_source(figures: SourceFigures, state: State, reasons: list[str] | None) -> None:
    judgement = judge_source(figures, DEFAULTS, NOW)
    assert judgement.state == state
    assert reasons is None or list(judgement.reasons) == reasons


@pytest.mark.parametrize(
    ("own", "figures", "state"),
    [
        ({"failing_success_percent": 10}, endpoint(outcome(100, 51)), State.DEGRADED),
        ({"min_attempts": 200}, endpoint(outcome(100, 100)), State.HEALTHY),
        ({"degraded_p95_ms": 50}, endpoint(outcome()), State.DEGRADED),
        ({"down_checks": 1}, endpoint(check=Check("head", NOW, "x", 1)), State.DOWN),
        ({"ending_days": 0}, endpoint(ends={"secret": NOW + timedelta(days=1)}), State.HEALTHY),
    ],
)
def test_goes_by_the_accounts_own_thresholds(
    own: dict[str, float], figures: EndpointFigures, state: State
) -> None:
    assert judge_endpoint(figures, limits_with(own), NOW).state == state


# --- states are taken after a while ---------------------------------------------------------------

H, D, F, X, U = State.HEALTHY, State.DEGRADED, State.FAILING, State.DOWN, State.UNKNOWN


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        # One a minute: worse after 60 seconds, better after 300.
        ("HHH", "HHH"),
        ("HFFF", "HHFF"),
        ("HFHFHF", "HHHHHH"),  # one bad minute is none
        ("HFDFDF", "HHDDDD"),  # worse is worse, whichever; then one bad minute is none again
        ("FFHHHHHH", "FFFFFFFH"),
        ("FFHHHHFHHHHHH", "FFFFFFFFFFFFH"),  # recovery begins anew
        ("UHH", "UHH"),  # what is known is taken at once
        ("HU", "HU"),
        ("HXXHHHHHHH", "HHXXXXXXHH"),
    ],
)
def test_a_state_is_taken_once_it_was_asked_for_long_enough(asked: str, taken: str) -> None:
    names = {"H": H, "D": D, "F": F, "X": X, "U": U}
    standing: Standing | None = None
    found = []
    for minute, letter in enumerate(asked):
        now = NOW + timedelta(minutes=minute)
        standing = next_standing(standing, names[letter], DEFAULTS, now)
        found.append(next(name for name, state in names.items() if state == standing.state))
    assert "".join(found) == taken


# --- thresholds -----------------------------------------------------------------------------------


def test_every_threshold_has_a_default_within_its_bounds() -> None:
    for name, item in THRESHOLDS.items():
        assert item.lowest <= item.default <= item.highest, name
        assert item.text.endswith(("…", ".")), name
    assert threshold_problems({}) == []


@pytest.mark.parametrize(
    ("own", "found"),
    [
        ({"nonsense": 1}, {"nonsense": "unknown"}),
        ({"min_attempts": "5"}, {"min_attempts": "not_a_number"}),
        ({"min_attempts": True}, {"min_attempts": "not_a_number"}),
        ({"min_attempts": 0}, {"min_attempts": "out_of_range"}),
        ({"degraded_p95_ms": float("nan")}, {"degraded_p95_ms": "out_of_range"}),
        ({"failing_success_percent": 96}, {"failing_success_percent": "out_of_order"}),
        ({"down_failures": 4}, {"down_failures": "out_of_order"}),
        ({"failing_success_percent": 96, "degraded_success_percent": 97}, {}),
        ([], {"thresholds": "not_a_mapping"}),
    ],
)
def test_thresholds_are_judged(own: Any, found: dict[str, str]) -> None:
    assert {problem.field: problem.code for problem in threshold_problems(own)} == found


# --- causes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("counts", "cause"),
    [
        ({}, ""),
        ({"dns": 2, "refused": 2, "status_5xx": 3}, "unreachable"),
        ({"tls": 1, "status_4xx": 1}, "answers_4xx"),
        ({"status_3xx": 1}, "answers_otherwise"),
        ({"of_a_later_version": 1}, "answers_otherwise"),
        ({"dns": 0}, ""),
    ],
)
def test_the_main_cause(counts: dict[str, int], cause: str) -> None:
    assert main_cause(counts) == cause


def test_figures_can_be_kept_as_json() -> None:
    figures = endpoint(outcome(3, 1), ends={"certificate": NOW}, dead_letters={HOUR: 2})
    document = figures.as_json()
    assert set(document["windows"]) == {"300", "86400"}
    assert document["windows"]["300"]["success_percent"] == 66.7
    assert document["ends"] == {"certificate": NOW.isoformat()}
    assert document["dead_letters"] == {"3600": 2}
    assert len(WINDOWS) == 3
    kept = source(arrivals(10, signature_mismatch=1)).as_json()
    assert kept["windows"]["3600"]["signature_failures"] == 1
    assert kept["windows"]["3600"]["refused_percent"] == 10.0


@pytest.mark.parametrize(
    ("before", "judged", "state", "reasons"),
    [
        (State.FAILING, State.HEALTHY, State.FAILING, ("it was",)),
        (State.FAILING, State.UNKNOWN, State.FAILING, ("it was",)),
        (State.FAILING, State.FAILING, State.FAILING, ("it is",)),
        (State.FAILING, State.DOWN, State.DOWN, ("it is",)),
        (State.UNKNOWN, State.DEGRADED, State.DEGRADED, ("it is",)),
        (State.UNKNOWN, State.UNKNOWN, State.UNKNOWN, ("it is",)),
    ],
)
def test_by_what_is_not_all_counted_nothing_is_better(
    before: State, judged: State, state: State, reasons: tuple[str, ...]
) -> None:
    assert not_better(Judgement(judged, ("it is",)), before, ["it was"]) == Judgement(
        state, reasons
    )


def test_without_a_state_before_it_is_not_known() -> None:
    figures = endpoint(uncounted=frozenset({FIVE_MINUTES}))
    assert judge_endpoint(figures, limits_with({}), NOW) == Judgement(
        State.UNKNOWN, ("not all attempts are counted yet",)
    )
