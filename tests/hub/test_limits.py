"""Limits of subscriptions hold over processes, also when the one that lets through is killed."""

from __future__ import annotations

import pytest

from tests.hub import scenario
from tests.hub.limits_over_workers import EVENTS, RATE


@pytest.mark.hub
@pytest.mark.timeout(150)
def test_rate_and_order_outlive_a_killed_owner() -> None:
    result = scenario.run("limits_over_workers", timeout=140)

    assert result.pop("most_in_a_second") <= RATE
    assert result == {"left": 0, "in_order": True, "ordered": EVENTS, "workers": 2}
