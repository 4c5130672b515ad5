"""What objectives attain, have left and burn is what the attempts themselves say."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.models import Objective
from analytics.objectives import BURN_WINDOWS, ObjectiveStatus, burn_rates, status_of, statuses_of
from outgoing.models import Attempt
from tests.analytics.recomputing import (
    QUICK,
    START,
    forget,
    histories,
    make_deliveries,
    make_history,
)

pytestmark = pytest.mark.django_db

DAYS = 12
TARGETS = ("50", "75", "90", "99", "99.9", "99.999")
NEAR = timedelta(days=3)  # before now, where the windows of the burn rates are


def counted(
    objective: Objective, attempts: Iterable[Attempt], now: datetime, window: timedelta
) -> tuple[int, int]:
    """All in the window, with the whole minutes at its ends, and those that failed."""
    since = (now - window).replace(second=0, microsecond=0)
    until = -(-(now - START) // timedelta(minutes=1)) * timedelta(minutes=1) + START
    found = [
        attempt
        for attempt in attempts
        if since <= attempt.started_at < until
        and attempt.delivery.account_id == objective.account_id
        and objective.subscription_id in (None, attempt.delivery.subscription_id)
        and {
            "attempts": True,
            "first_attempts": attempt.number == 1,
            "deliveries": attempt.gave_up or not attempt.cause,
        }[objective.counts]
    ]
    return len(found), sum(bool(attempt.cause) for attempt in found)


def check_status(
    status: ObjectiveStatus, objective: Objective, attempts: list[Attempt], now: datetime
) -> None:
    window = timedelta(days=objective.window_days)
    total, failed = counted(objective, attempts, now, window)
    may_fail = 1 - Fraction(objective.target_percent) / 100
    budget = total * may_fail
    assert (status.since, status.until) == (now - window, now)
    assert (status.total, status.failed) == (total, failed)
    assert status.is_met is (failed <= budget)
    assert status.attained == (pytest.approx(1 - failed / total) if total else None)
    assert status.target == pytest.approx(float(1 - may_fail))
    assert status.budget == pytest.approx(float(budget))
    assert status.budget_left == pytest.approx(float(budget - failed))
    left = float(1 - failed / budget) if total else 1.0
    assert status.budget_left_rate == pytest.approx(left)
    assert [burn.window for burn in status.burn] == list(BURN_WINDOWS)
    for burn in status.burn:
        total, failed = counted(objective, attempts, now, burn.window)
        assert (burn.total, burn.failed) == (total, failed)
        rate = float(Fraction(failed, total) / may_fail) if total else None
        assert burn.rate == (None if rate is None else pytest.approx(rate))


def test_objectives_are_what_the_attempts_say() -> None:
    deliveries = make_deliveries()
    of_subscriptions = [deliveries[at].subscription for at in (0, 2, 3)]
    subjects: list[Any] = [
        *({"account": of.account, "subscription": of} for of in of_subscriptions),
        {"account": of_subscriptions[0].account},
        {"account": of_subscriptions[2].account},
    ]
    objectives = [Objective.objects.create(**of) for of in subjects]
    one = st.tuples(
        st.sampled_from(list(Objective.Counts)), st.sampled_from(TARGETS), st.integers(1, DAYS)
    )

    @settings(max_examples=20, deadline=None, database=None, phases=QUICK)
    @given(
        old=histories(minutes=DAYS * 24 * 60, max_size=15),
        # Back from now: most in its last hours, for the windows of the burn rates.
        near=st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from([240, 1800, 3600, 20_000, 259_200]),
                      st.floats(0, 1), st.sampled_from(["", "", "", "dns"])),
            max_size=20,
        ),
        seconds=st.integers(0, DAYS * 86_400),
        said=st.lists(one, min_size=5, max_size=5),
    )  # fmt: skip
    def holds(old: Any, near: Any, seconds: int, said: Any) -> None:
        forget()
        now = START + NEAR + timedelta(seconds=seconds)
        history = old + [
            (which, int((now - START).total_seconds() - back * part), cause, 5.0)
            for which, back, part, cause in near
        ]
        attempts = make_history(deliveries, history)
        for objective, (counts, target, days) in zip(objectives, said, strict=True):
            objective.counts, objective.target_percent = counts, Decimal(target)
            objective.window_days = days
        statuses = statuses_of(objectives, now)
        for status, objective in zip(statuses, objectives, strict=True):
            check_status(status, objective, attempts, now)
        # One asked for by itself is the same.
        assert status_of(objectives[0], now) == statuses[0]
        assert burn_rates(objectives[3], now) == statuses[3].burn

    holds()
