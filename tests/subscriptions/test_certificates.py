"""When an endpoint's certificate was seen last, and whether that is too long ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from subscriptions.certificates import is_stale, seen_at
from subscriptions.models import Subscription

NOW = datetime(2026, 3, 4, 12, 0, 30, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
END = NOW + 20 * DAY


def step(at: datetime, outcome: str = "ok", name: str = "certificate") -> dict[str, str]:
    moment = at.isoformat().replace("+00:00", "Z")
    return {"step": name, "outcome": outcome, "detail": "", "at": moment}


def result(end: datetime | None = END) -> dict[str, Any]:
    return {"certificate_expires_at": end.isoformat() if end else None}


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        ({}, None),
        ({"setup": [step(NOW, name="endpoint"), step(NOW - DAY)]}, NOW - DAY),
        ({"setup": [step(NOW, "failed")]}, None),
        ({"setup": [step(NOW, "skipped")]}, None),
        ({"health_checked_at": NOW, "health_check_result": result()}, NOW),
        ({"health_checked_at": NOW, "health_check_result": result(None)}, None),
        ({"health_checked_at": NOW}, None),
        ({"health_check_result": result()}, None),
        (
            {"setup": [step(NOW - DAY)], "health_checked_at": NOW, "health_check_result": result()},
            NOW,
        ),
        (
            {"setup": [step(NOW)], "health_checked_at": NOW - DAY, "health_check_result": result()},
            NOW,
        ),
        (
            {"setup": [step(NOW - DAY)], "health_checked_at": NOW,
             "health_check_result": result(None)},
            NOW - DAY,
        ),
    ],
)  # fmt: skip
def test_was_seen_by_the_later_of_set_up_and_check(
    fields: dict[str, Any], moment: datetime | None
) -> None:
    assert seen_at(Subscription(certificate_expires_at=END, **fields)) == moment


@pytest.mark.parametrize(
    ("fields", "is_too_old"),
    [
        ({"setup": [step(NOW - 7 * DAY)]}, True),
        ({"setup": [step(NOW - 7 * DAY + SECOND)]}, False),
        ({}, True),  # by nobody that is known
        ({"checks_health": True, "setup": [step(NOW - 80 * DAY)]}, False),
        ({"certificate_expires_at": None}, False),
    ],
)
def test_is_stale_where_nobody_looks_and_it_was_not_seen_for_seven_days(
    fields: dict[str, Any], is_too_old: bool
) -> None:
    row = Subscription(**{"certificate_expires_at": END, "checks_health": False, **fields})
    assert is_stale(row, NOW) is is_too_old
