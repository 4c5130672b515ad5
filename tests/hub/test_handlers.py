"""Handlers survive the death of their worker: at least once, each try counted, no effect twice."""

from __future__ import annotations

import pytest

from tests.hub import scenario


@pytest.mark.hub
@pytest.mark.timeout(200)
def test_handlers_are_run_whatever_happens_to_their_workers() -> None:
    result = scenario.run("kill_handler_worker", timeout=190)

    assert result == {
        # By two workers, each run once.
        "counted": {"begun": True, "effects": 10, "processes": 2},
        "killed": {"status": "succeeded", "attempts": 2, "tries": ["1", "2"], "effects": 1},
        # What no signal interrupts ends with its process.
        "deaf": {
            "status": "succeeded",
            "attempts": 2,
            "tries": ["1", "2"],
            "effects": 1,
            "exit_code": 1,
        },
        "broken": {"status": "succeeded", "attempts": 1, "tries": ["1", "1"], "effects": 0},
    }
