"""Whether a backlog shrinks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from monitoring.shrinking import Low, next_low, stuck_seconds
from tests.monitoring.figures import NOW

MINUTE = timedelta(minutes=1)
BEFORE = NOW - 10 * MINUTE


@pytest.mark.parametrize(
    ("before", "due", "expected"),
    [
        (None, 0, None),
        (None, 7, Low(7, NOW)),
        (Low(7, BEFORE), 9, Low(7, BEFORE)),
        (Low(7, BEFORE), 7, Low(7, BEFORE)),
        (Low(7, BEFORE), 6, Low(6, NOW)),
        (Low(7, BEFORE), 0, None),
    ],
)
def test_the_least_counts_from_when_it_was_reached(
    before: Low | None, due: int, expected: Low | None
) -> None:
    assert next_low(before, due, NOW) == expected


def test_is_stuck_for_no_longer_than_its_oldest_waits() -> None:
    assert stuck_seconds(Low(7, BEFORE), 9_999.0, NOW) == 600
    assert stuck_seconds(Low(7, BEFORE), 45.0, NOW) == 45
    assert stuck_seconds(Low(7, NOW + MINUTE), 45.0, NOW) == 0  # another host's clock
    assert stuck_seconds(None, 45.0, NOW) == 0


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"backlog_low": 7, "backlog_low_since": BEFORE.isoformat()}, Low(7, BEFORE)),
        ({"backlog_low": 0, "backlog_low_since": None}, None),
        ({"backlog_low": "many", "backlog_low_since": BEFORE.isoformat()}, None),
        ({"backlog_low": 7, "backlog_low_since": "yesterday"}, None),
        ({}, None),  # written before it was noted
    ],
)
def test_is_read_from_figures(figures: dict[str, object], expected: Low | None) -> None:
    assert Low.from_figures(figures) == expected
