"""Whether a count rises, and what the rules that ask for that see."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from django.apps import apps

from monitoring.alert_rules import change_rule, create_rule
from monitoring.errors import RuleNotAcceptable
from monitoring.figures import DAY, FIVE_MINUTES, HOUR, Arrivals
from monitoring.kinds import Kind
from monitoring.rising import Rise, rise_of
from monitoring.rules import signals_of
from tests.factories import make_account
from tests.monitoring.figures import NOW, account, arrivals, endpoint, rule, source
from tests.monitoring.receivers import make_rule


@pytest.mark.parametrize(
    ("count", "of_day", "seconds", "least", "factor", "expected"),
    [
        # 23 in the other 23 hours: one an hour.
        (3, 26, HOUR, 1, 3.0, Rise(3, 1.0, 3.0, 3.0)),
        (5, 51, HOUR, 20, 3.0, Rise(5, 2.0, 20, 3.0)),  # few, whatever is usual
        (4, 4, HOUR, 1, 3.0, Rise(4, 0.0, 1, 3.0)),  # nothing before
        (2, 1, HOUR, 1, 3.0, Rise(2, 0.0, 1, 3.0)),  # the day was counted a while ago
        (9, 296, FIVE_MINUTES, 1, 2.0, Rise(9, 1.0, 2.0, 2.0)),
        (9, 9, DAY, 1, 3.0, None),
        (9, 9, HOUR, 1, None, None),
    ],
)
def test_a_rise_is_held_against_the_rest_of_the_day(
    count: int, of_day: int, seconds: int, least: float, factor: float | None, expected: Any
) -> None:
    found = rise_of(count=count, of_day=of_day, seconds=seconds, least=least, factor=factor)
    assert found == expected


def dead(hour: int, day: int) -> Any:
    return account(endpoint(dead_letters={HOUR: hour, DAY: day}))


@pytest.mark.parametrize(
    ("hour", "day", "is_over"),
    [
        (30, 260, True),  # ten an hour are usual
        (29, 259, False),  # and until it falls below 24 it is not over
        (24, 254, False),
        (23, 253, None),
        (2, 2, True),
        (1, 1, None),  # fewer than the rule's threshold eases
    ],
)
def test_dead_letters_that_are_usual_are_no_rise(hour: int, day: int, is_over: bool | None) -> None:
    asked = rule(Kind.DEAD_LETTERS_RISING, 2, HOUR, rise_factor=3.0)
    found = [signal.is_over for signal in signals_of(asked, dead(hour, day), NOW)]
    assert found == ([] if is_over is None else [is_over])


def test_what_was_usual_before_an_incident_stands_while_that_is_open() -> None:
    asked = rule(Kind.DEAD_LETTERS_RISING, 2, HOUR, rise_factor=3.0)
    before = {Kind.DEAD_LETTERS_RISING.value: 10 / HOUR}
    figures = endpoint(dead_letters={HOUR: 30, DAY: 30 * 24}, usual_before=before)
    [signal] = signals_of(asked, account(figures), NOW)
    assert (signal.is_over, signal.figures["usual"], signal.figures["threshold"]) == (True, 10, 30)


def test_says_the_numbers_that_it_went_by() -> None:
    asked = rule(Kind.DEAD_LETTERS_RISING, 1, HOUR, rise_factor=3.0)
    [signal] = signals_of(asked, dead(30, 260), NOW)
    assert signal.text == (
        "30 deliveries were given up within the last 60 min; usual are 10.0 in 60 min, by the rest "
        "of the day; 3 times as many are a rise. They wait among the dead letters "
        "and can be redelivered."
    )
    assert signal.figures == {
        "value": 30, "unit": "dead letters", "threshold": 30.0, "window_seconds": HOUR,
        "usual": 10.0, "rise_factor": 3.0,
    }  # fmt: skip


def test_dead_receipts_rise_too() -> None:
    asked = rule(Kind.DEAD_LETTERS_RISING, 1, HOUR, rise_factor=3.0)
    [signal] = signals_of(asked, account(source(dead_receipts={HOUR: 3, DAY: 26})), NOW)
    assert (signal.value, signal.figures["usual"], signal.is_over) == (3, 1.0, True)
    assert signals_of(asked, account(source(dead_receipts={HOUR: 2, DAY: 48})), NOW) == []


def test_signature_failures_rise() -> None:
    asked = rule(Kind.SIGNATURE_FAILURES_RISING, 20, HOUR, rise_factor=3.0)

    def calls(hour: int, day: int) -> Any:
        windows: dict[int, Arrivals] = {
            HOUR: arrivals(900, signature_mismatch=hour),
            DAY: arrivals(9_000, signature_mismatch=day, rate_limited=500),
        }
        return account(source(windows=windows))

    assert signals_of(asked, calls(60, 60 + 23 * 30), NOW) == []  # somebody guesses all day
    [signal] = signals_of(asked, calls(90, 90 + 23 * 30), NOW)
    assert (signal.is_over, signal.figures["usual"], signal.figures["threshold"]) == (True, 30, 90)
    assert signal.text == (
        "90 of 900 calls of the last 60 min could not be proved to be the sender's; usual are 30.0 "
        "in 60 min, by the rest of the day; 3 times as many are a rise. A secret was changed on "
        "one side, or somebody else calls."
    )


@pytest.mark.django_db
def test_a_rule_asks_for_a_rise_unless_it_is_told_not_to() -> None:
    account = make_account()

    def made(name: str, **fields: Any) -> float | None:
        kind = fields.pop("kind", "dead_letters_rising")
        return create_rule(account=account, name=name, kind=kind, **fields).rise_factor

    assert made("Its own") == 3.0
    assert made("Plain", rise_factor=None) is None
    assert made("Of a day", window_seconds=DAY) is None
    assert made("Old", kind="backlog_old") is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "changes", "code"),
    [
        ("dead_letters_rising", {"rise_factor": 1.0}, "out_of_range"),
        ("dead_letters_rising", {"rise_factor": float("nan")}, "out_of_range"),
        ("dead_letters_rising", {"window_seconds": DAY}, "not_of_window"),
        ("backlog_old", {"rise_factor": 3.0}, "not_of_kind"),
    ],
)
def test_what_cannot_be_held_against_the_day_is_refused(
    kind: str, changes: dict[str, Any], code: str
) -> None:
    rule = create_rule(account=make_account(), name="Rises", kind=kind)
    with pytest.raises(RuleNotAcceptable) as refused:
        change_rule(rule=rule, **changes)
    [problem] = refused.value.extra["errors"]
    assert (problem["path"], problem["code"]) == ("/rise_factor", code)


@pytest.mark.django_db
def test_default_rules_that_nobody_changed_ask_for_a_rise_from_now_on() -> None:
    account = make_account()
    given = {"kind": "dead_letters_rising", "window_seconds": HOUR}
    rules = [
        make_rule(account, name="Dead letters rising", threshold=1, **given),
        make_rule(make_account(), name="Dead letters rising", threshold=5, **given),
        make_rule(account, name="Mine", threshold=1, **given),
    ]
    step = importlib.import_module("monitoring.migrations.0011_rise_factor")
    step.let_default_rules_ask_for_a_rise(apps, None)
    for one in rules:
        one.refresh_from_db()
    assert [one.rise_factor for one in rules] == [3.0, None, None]


def test_without_the_day_it_is_not_known_what_is_usual() -> None:
    asked = rule(Kind.SIGNATURE_FAILURES_RISING, 20, HOUR, rise_factor=3.0)
    hour = arrivals(90, signature_mismatch=30)
    unknown = source(hour, uncounted=frozenset({DAY}))
    assert signals_of(asked, account(unknown), NOW) == []
    # While its incident is open, what was usual before it is known.
    known = source(hour, uncounted=frozenset({DAY}), usual_before={asked.kind: 1 / HOUR})
    assert [signal.is_over for signal in signals_of(asked, account(known), NOW)] == [True]
    # What is held against no day does not need it.
    plain = rule(Kind.SIGNATURE_FAILURES_RISING, 20, HOUR)
    assert [signal.is_over for signal in signals_of(plain, account(unknown), NOW)] == [True]
