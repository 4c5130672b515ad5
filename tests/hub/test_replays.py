"""A replay survives the death of its pump: it goes on by itself, and carries nothing twice."""

from __future__ import annotations

import pytest

from tests.hub import scenario


@pytest.mark.hub
@pytest.mark.timeout(200)
def test_a_replay_goes_on_whoever_is_killed() -> None:
    result = scenario.run("kill_replay", timeout=190)

    assert result == {
        "status": "finished",
        "planned": 1_000,
        "redelivered": 1_000,
        # Once before, and once by the replay.
        "attempts": [2],
        "killed_under_way": True,
        "gone_on": True,
    }
