"""SIGTERM stops every process, loses and doubles nothing, however the families are spread."""

from __future__ import annotations

import pytest

from tests.hub import scenario


@pytest.mark.hub
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("shared", "clusters"),
    [("true", ["hub"]), ("false", ["delivery", "processing", "retry"])],
    ids=["one cluster for all", "a cluster for each"],
)
def test_stops_cleanly_and_goes_on_where_it_stopped(shared: str, clusters: list[str]) -> None:
    result = scenario.run(
        "stop_and_go_on",
        timeout=220,
        WEBHOOKS_SHARED_CLUSTER=shared,
        QM_WEBHOOKS_MONITORING="false",
        QM_WEBHOOKS_ANALYTICS="false",
    )

    assert result.pop("stop_seconds") < 30
    assert result == {
        "clusters": clusters,
        "exit_code": 0,
        "processes_left": 0,
        "missing": 0,
        "twice": 0,
        "refused": 0,
    }
