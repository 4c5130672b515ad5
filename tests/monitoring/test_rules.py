"""What rules see in figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from monitoring.figures import (
    DAY,
    FIVE_MINUTES,
    HOUR,
    WINDOWS,
    AccountFigures,
    Check,
    FindingFigures,
)
from monitoring.kinds import KINDS, Kind
from monitoring.rules import is_blind, key_of, parts_of, problem_of, signals_of, without_repeats
from monitoring.shrinking import Low
from tests.monitoring.figures import (
    ENDPOINT,
    NOW,
    RULE,
    SOURCE,
    account,
    arrivals,
    endpoint,
    outcome,
    rule,
    source,
)

FAILING = Kind.ENDPOINT_FAILING
HALF_AN_HOUR = timedelta(minutes=30)


def seen(figures: AccountFigures, kind: Kind, threshold: float, window: int = 0) -> Any:
    """Of the one signal: whether it is over, its value and cause; None where there is none."""
    found = signals_of(rule(kind, threshold, window), figures, NOW)
    if not found:
        return None
    [signal] = found
    return signal.is_over, signal.value, signal.cause


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        (endpoint(outcome(100, 50)), (True, 50.0, "answers_5xx")),
        (endpoint(outcome(100, 49)), (False, 49.0, "answers_5xx")),  # eases off at 40
        (endpoint(outcome(100, 40, "dns")), (False, 40.0, "unreachable")),
        (endpoint(outcome(100, 39)), None),
        (endpoint(outcome(4, 4)), None),
        (endpoint(outcome(5, 5, "tls")), (True, 100.0, "tls")),
        (endpoint(consecutive_failures=4, failing_since=NOW), None),
        (
            endpoint(day=outcome(9, 9, "reset"), consecutive_failures=5, failing_since=NOW),
            (True, 100.0, "unreachable"),
        ),
        (endpoint(outcome(1, 1), breaker="open"), (True, 100.0, "answers_5xx")),
        (endpoint(check=Check("head", NOW, "x", 2)), None),
        (endpoint(check=Check("head", NOW, "x", 3)), (True, 100.0, "check")),
        (endpoint(outcome(100, 60), why_not_judged="it is paused"), None),
    ],
)
def test_an_endpoint_fails(figures: Any, expected: Any) -> None:
    assert seen(account(figures), FAILING, 50, FIVE_MINUTES) == expected


def test_a_signal_says_what_is_wrong() -> None:
    figures = account(endpoint(outcome(100, 60), consecutive_failures=60, failing_since=NOW))
    [signal] = signals_of(rule(FAILING, 50, FIVE_MINUTES), figures, NOW)
    assert signal.title == "Receiver is failing: it answers with errors of its own (5xx)"
    assert signal.text == (
        "60 of 100 attempts of the last 5 min failed; none has succeeded since 2026-03-04 12:00 "
        "UTC."
    )
    assert (signal.subscription_id, signal.source_id) == (ENDPOINT, None)
    assert signal.figures == {
        "value": 60.0, "unit": "percent", "threshold": 50, "window_seconds": 300,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("figures", "kind", "threshold", "window", "expected"),
    [
        (endpoint(dead_letters={HOUR: 10}), Kind.DEAD_LETTERS_RISING, 10, HOUR, (True, 10, "")),
        (endpoint(dead_letters={HOUR: 8}), Kind.DEAD_LETTERS_RISING, 10, HOUR, (False, 8, "")),
        (endpoint(dead_letters={HOUR: 7}), Kind.DEAD_LETTERS_RISING, 10, HOUR, None),
        (endpoint(dead_letters={DAY: 99}), Kind.DEAD_LETTERS_RISING, 10, HOUR, None),
        (source(dead_receipts={HOUR: 10}), Kind.DEAD_LETTERS_RISING, 10, HOUR, (True, 10, "")),
        (endpoint(backlog_age_seconds=900.0), Kind.BACKLOG_OLD, 900, 0, (True, 900, "backlog")),
        (endpoint(backlog_age_seconds=719.0), Kind.BACKLOG_OLD, 900, 0, None),
        (
            endpoint(backlog_age_seconds=900.0, is_window_closed=True),
            Kind.BACKLOG_OLD, 900, 0, None,
        ),
        (source(backlog_age_seconds=900.0), Kind.BACKLOG_OLD, 900, 0, (True, 900, "backlog")),
        # Ninety are due, and there were never fewer than eighty for so long.
        (endpoint(backlog=90, backlog_age_seconds=9e3, backlog_low=Low(80, NOW - HALF_AN_HOUR)),
         Kind.BACKLOG_NOT_SHRINKING, 1_800, 0, (True, 1_800, "backlog")),
        (endpoint(backlog=90, backlog_age_seconds=99.0, backlog_low=Low(80, NOW - HALF_AN_HOUR)),
         Kind.BACKLOG_NOT_SHRINKING, 1_800, 0, None),  # the oldest has just come
        (source(backlog=9, backlog_age_seconds=9e3, backlog_low=Low(9, NOW - HALF_AN_HOUR)),
         Kind.BACKLOG_NOT_SHRINKING, 1_800, 0, (True, 1_800, "backlog")),
        (endpoint(), Kind.BACKLOG_NOT_SHRINKING, 60, 0, None),
        (endpoint(outcome(p95_ms=500.0)), Kind.LATENCY_ABOVE, 500, 300, (True, 500, "")),
        (endpoint(outcome(p95_ms=399.0)), Kind.LATENCY_ABOVE, 500, 300, None),
        (endpoint(outcome(4, p95_ms=500.0)), Kind.LATENCY_ABOVE, 500, 300, None),
        (source(silent_seconds=20.0, usual_silence_seconds=10.0),
         Kind.SOURCE_SILENT, 2, 0, (True, 2, "")),
        (source(silent_seconds=19.0, usual_silence_seconds=10.0), Kind.SOURCE_SILENT, 2, 0, None),
        (source(silent_seconds=1e9), Kind.SOURCE_SILENT, 2, 0, None),
        # What came since waits to be processed.
        (source(silent_seconds=20.0, usual_silence_seconds=10.0, backlog=1),
         Kind.SOURCE_SILENT, 2, 0, None),
        (source(arrivals(50, signature_mismatch=12, timestamp_too_old=8)),
         Kind.SIGNATURE_FAILURES_RISING, 20, HOUR, (True, 20, "")),
        (source(arrivals(50, rate_limited=20)), Kind.SIGNATURE_FAILURES_RISING, 20, HOUR, None),
        # Of 1 % that may fail 20 % did, and still do.
        (endpoint(outcome(10, 2), outcome(100, 20)), Kind.OBJECTIVE_MISSED, 14.4, HOUR,
         (True, 20, "")),
        # It is over: the last five minutes were good.
        (endpoint(outcome(10, 0), outcome(100, 20)), Kind.OBJECTIVE_MISSED, 14.4, HOUR, None),
        # It has just begun: the hour was good.
        (endpoint(outcome(10, 5), outcome(1_000, 5)), Kind.OBJECTIVE_MISSED, 14.4, HOUR, None),
        (endpoint(None, outcome(100, 20)), Kind.OBJECTIVE_MISSED, 14.4, HOUR, None),
        (endpoint(None, outcome(60, 6), outcome(600, 60)), Kind.OBJECTIVE_MISSED, 6, DAY,
         (True, 10, "")),
        (endpoint(ends={"certificate": NOW + timedelta(days=7)}), Kind.EXPIRING, 7, 0,
         (True, 7, "certificate")),
        (endpoint(ends={"secret": NOW + timedelta(days=7, hours=3)}), Kind.EXPIRING, 7, 0, None),
        (endpoint(ends={"subscription": NOW - timedelta(days=1)}), Kind.EXPIRING, 7, 0,
         (True, -1, "subscription")),
        (source(ends={"secret": NOW + timedelta(hours=12)}), Kind.EXPIRING, 1, 0,
         (True, 0.5, "secret")),
    ],
)  # fmt: skip
def test_what_else_is_seen(
    figures: Any, kind: Kind, threshold: float, window: int, expected: Any
) -> None:
    assert seen(account(figures), kind, threshold, window) == expected


def test_an_objective_of_its_own() -> None:
    figures = account(endpoint(outcome(10, 5), outcome(100, 50)))
    asked = rule(Kind.OBJECTIVE_MISSED, 14.4, HOUR)
    assert signals_of(asked, figures, NOW, targets={ENDPOINT: 90.0}) == []
    [signal] = signals_of(asked, figures, NOW, targets={ENDPOINT: 99.9})
    assert signal.value == 500.0
    [signal] = signals_of(asked, figures, NOW, targets={ENDPOINT: 100.0})
    assert signal.is_over


def test_each_end_is_a_problem_of_its_own() -> None:
    figures = account(endpoint(ends={"certificate": NOW, "secret": NOW}))
    found = signals_of(rule(Kind.EXPIRING, 30), figures, NOW)
    assert [signal.cause for signal in found] == ["certificate", "secret"]
    assert found[0].title == "The certificate of Receiver has ended on 2026-03-04"
    assert len({signal.key for signal in found}) == 2


def test_what_only_follows_from_failing_opens_nothing() -> None:
    bad, worse = outcome(10, 6, p95_ms=9_000.0), outcome(100, 60)
    figures = account(endpoint(bad, worse), endpoint(outcome(10, 2), outcome(100, 20), id=OTHER))
    objective, failing, slow = (
        rule(Kind.OBJECTIVE_MISSED, 14.4, HOUR),
        rule(FAILING, 50, FIVE_MINUTES),
        rule(Kind.LATENCY_ABOVE, 5_000, FIVE_MINUTES),
    )
    found = [
        (asked, signal)
        for asked in (objective, failing, slow)
        for signal in signals_of(asked, figures, NOW)
    ]
    over = [(signal.title, signal.is_over) for signal in without_repeats(found)]
    assert over == [
        ("Receiver misses its objective", False),
        ("Receiver misses its objective", True),  # the other's, which does not fail
        ("Receiver is failing: it answers with errors of its own (5xx)", True),
        ("Receiver is slow", False),
    ]


def test_queues_are_of_the_hub() -> None:
    asked = rule(Kind.QUEUE_NOT_DRAINED, 300)
    [signal] = signals_of(asked, account(delivery=400.0, retry=239.0), NOW)
    assert (signal.title, signal.cause) == ("The delivery queue is not drained", "delivery")
    assert (signal.subscription_id, signal.source_id) == (None, None)


def test_a_backlog_that_gets_no_fewer_says_how_many() -> None:
    low = Low(1_080, NOW - HALF_AN_HOUR)
    figures = account(endpoint(backlog=1_234, backlog_age_seconds=7_200.0, backlog_low=low))
    [signal] = signals_of(rule(Kind.BACKLOG_NOT_SHRINKING, 1_800), figures, NOW)
    assert (signal.title, signal.text) == (
        "Deliveries to Receiver wait and get no fewer",
        "1,234 deliveries are due, the oldest for 2.0 h. Since 2026-03-04 11:30 UTC there were "
        "never fewer than 1,080.",
    )


def test_a_finding_is_seen_for_as_long_as_the_rule_says() -> None:
    found = [
        FindingFigures(
            "no_route", "It has no route.", NOW - HALF_AN_HOUR, "Bank", source_id=SOURCE
        ),
        FindingFigures("no_admin", "Nobody looks after it.", NOW - 9 * HALF_AN_HOUR),
        FindingFigures("expired", "It ended.", NOW - 9 * HALF_AN_HOUR, "Shop", ENDPOINT),
    ]
    figures = replace(account(), findings=tuple(found))
    at_once = signals_of(rule(Kind.SETUP_WRONG, 0), figures, NOW)
    assert [(one.title, one.cause, one.text, one.source_id) for one in at_once] == [
        ("Bank: no route", "no_route", "It has no route.", SOURCE),
        ("The account: no admin", "no_admin", "Nobody looks after it.", None),
    ]
    later = signals_of(rule(Kind.SETUP_WRONG, 4), figures, NOW)
    assert [(one.cause, one.value) for one in later] == [("no_admin", 4.5)]
    of_one = rule(Kind.SETUP_WRONG, 0, source_id=SOURCE)
    assert [one.cause for one in signals_of(of_one, figures, NOW)] == ["no_route"]
    left = signals_of(rule(Kind.SETUP_WRONG, 0), figures, NOW, leaves=frozenset({SOURCE}))
    assert [one.cause for one in left] == ["no_admin"]


OTHER = UUID(int=9)


def test_a_rule_for_one_sees_that_one_alone() -> None:
    bad = endpoint(outcome(100, 60))
    figures = account(bad, replace(bad, id=OTHER, name="Other"))
    one = rule(FAILING, 50, FIVE_MINUTES, subscription_id=OTHER)
    assert [signal.subscription_id for signal in signals_of(one, figures, NOW)] == [OTHER]
    general = rule(FAILING, 50, FIVE_MINUTES)
    left = signals_of(general, figures, NOW, leaves=frozenset({OTHER}))
    assert [signal.subscription_id for signal in left] == [ENDPOINT]
    of_source = rule(Kind.BACKLOG_OLD, 30, source_id=SOURCE)
    old = account(endpoint(backlog_age_seconds=99.0), source(backlog_age_seconds=99.0))
    assert [signal.source_id for signal in signals_of(of_source, old, NOW)] == [SOURCE]


def test_a_name_with_braces_stays_a_name() -> None:
    figures = account(endpoint(outcome(100, 60), name="{0.__class__} " + "x" * 300))
    [signal] = signals_of(rule(FAILING, 50, FIVE_MINUTES), figures, NOW)
    assert signal.title.startswith("{0.__class__} xxx")
    assert len(signal.title) <= 200


def test_a_key_names_its_rule_and_the_problem() -> None:
    problem = problem_of(ENDPOINT, "tls")
    assert problem == f"{ENDPOINT.hex}:tls"
    assert parts_of(key_of(RULE, problem)) == (RULE, problem)
    assert len(key_of(RULE, problem_of(ENDPOINT, "x" * 32))) <= 200


def test_a_problem_is_an_endpoint_and_a_cause_whichever_rule_sees_it() -> None:
    figures = account(
        endpoint(ends={"secret": NOW}, dead_letters={HOUR: 9}, backlog_age_seconds=9e3)
    )
    asked = [
        rule(Kind.EXPIRING, 30), rule(Kind.EXPIRING, 7, id=OTHER),
        rule(Kind.DEAD_LETTERS_RISING, 1, HOUR), rule(Kind.LATENCY_ABOVE, 1, HOUR),
    ]  # fmt: skip
    problems = [signal.problem for one in asked for signal in signals_of(one, figures, NOW)]
    assert problems == [
        f"{ENDPOINT.hex}:secret", f"{ENDPOINT.hex}:secret", f"{ENDPOINT.hex}:dead_letters_rising",
    ]  # fmt: skip


def test_every_kind_says_what_its_threshold_is() -> None:
    assert set(KINDS) == set(Kind)
    for kind, facts in KINDS.items():
        assert facts.lowest <= facts.default <= facts.highest, kind
        assert facts.text.endswith("."), kind
        assert facts.unit, kind
        assert facts.about, kind
        assert 0 < facts.eases <= 1, kind


@pytest.mark.parametrize(
    ("kind", "window", "more", "blinding"),
    [
        (Kind.ENDPOINT_FAILING, FIVE_MINUTES, {}, {FIVE_MINUTES}),
        (Kind.LATENCY_ABOVE, HOUR, {}, {HOUR}),
        (Kind.OBJECTIVE_MISSED, HOUR, {}, {FIVE_MINUTES, HOUR}),
        (Kind.SIGNATURE_FAILURES_RISING, HOUR, {}, {HOUR}),
        (Kind.SIGNATURE_FAILURES_RISING, HOUR, {"rise_factor": 3.0}, {HOUR, DAY}),
        (Kind.DEAD_LETTERS_RISING, HOUR, {"rise_factor": 3.0}, set()),
        (Kind.BACKLOG_OLD, 0, {}, set()),
        (Kind.SOURCE_SILENT, 0, {}, set()),
    ],
)
def test_a_rule_is_blind_where_what_it_goes_by_is_not_all_counted(
    kind: Kind, window: int, more: dict[str, float], blinding: set[int]
) -> None:
    asked = rule(kind, 1, window, **more)
    found = {
        seconds
        for seconds in WINDOWS
        for missing in [frozenset({seconds})]
        if is_blind(asked, account(endpoint(uncounted=missing), source(uncounted=missing)))
    }
    assert found == blinding
