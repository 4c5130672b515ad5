"""kill -9 while a bulk job runs: it goes on by itself, and does no line twice."""

from __future__ import annotations

import pytest

from tests.hub import scenario


@pytest.mark.hub
@pytest.mark.timeout(500)
def test_a_job_whose_worker_was_killed_goes_on_and_does_each_line_once() -> None:
    assert scenario.run("kill_bulk_worker", timeout=480) == {
        "killed": True,
        "was_under_way": True,
        "status": "finished",
        "secrets": [2],
        "changed": 400,
    }
