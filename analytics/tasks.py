"""The analytics queue's short task, once a minute."""

from __future__ import annotations

import time
from typing import Final

from analytics.compaction import compact_rollups
from analytics.counting import count_marked
from analytics.reports.runs import run_due_reports

TURN_SECONDS: Final = 45.0


def roll_up() -> int:
    """Count what happened since the last time, let go what is kept no longer, then make the
    reports that are due, of what was counted.

    Returns the rows that changed.
    """
    ends_at = time.monotonic() + TURN_SECONDS
    counted = count_marked(lambda: time.monotonic() < ends_at)
    compact_rollups(lambda: time.monotonic() < ends_at)
    run_due_reports()
    return counted.rows
