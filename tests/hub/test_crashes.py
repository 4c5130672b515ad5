"""kill -9 of any one process while deliveries run: none lost, and work goes on by itself."""

from __future__ import annotations

import pytest

from tests.hub import scenario

RECOVERY_SECONDS = 15


@pytest.mark.hub
@pytest.mark.timeout(600)
def test_loses_nothing_and_goes_on_when_any_one_process_is_killed() -> None:
    # Short turns, so that a cluster that can no longer start a task shows within the test.
    result = scenario.run("kill_each_process", timeout=580, WEBHOOKS_TURN_SECONDS="5")

    assert {role: kill["missing"] for role, kill in result["kills"].items()} == dict.fromkeys(
        result["kills"], 0
    )
    assert result["arrived"] == result["published"]
    assert result["refused"] == 0
    slow = {r: k["seconds"] for r, k in result["kills"].items() if k["seconds"] > RECOVERY_SECONDS}
    assert slow == {}
    assert {"delivery pump", "sentinel", "cluster master", "web master", "supervisor"} <= set(
        result["kills"]
    )
