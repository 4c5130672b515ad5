"""The monitoring queue's short task."""

from __future__ import annotations

import pytest

from monitoring import tasks

WORK = [
    "send_due_notifications",
    "keep_counting", "evaluate_health", "watch_queues", "watch_expiry", "watch_failing",
    "run_due_setups", "run_due_health_checks", "escalate_incidents", "send_due_notifications",
]  # fmt: skip


@pytest.mark.parametrize("broken", [None, *WORK])
def test_does_each_in_turn_whatever_becomes_of_the_others(
    broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def stand_in(name: str) -> None:
        done.append(name)
        if name == broken:
            raise RuntimeError(name)

    for name in WORK:
        monkeypatch.setattr(tasks, name, lambda name=name: stand_in(name))
    if broken:
        with pytest.raises(RuntimeError, match=broken):
            tasks.watch()
    else:
        tasks.watch()
    assert done == WORK


@pytest.mark.parametrize(
    "broken", [None, "validate", "prune_incidents", "prune_activities", "give_out_anchors"]
)
def test_what_is_done_every_hour_does_not_wait_for_what_fails(
    broken: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def stand_in(name: str, **_: float) -> None:
        done.append(name)
        if name == broken:
            raise RuntimeError(name)

    names = ["give_out_anchors", "prune_activities", "prune_incidents", "validate"]
    for name in names:
        monkeypatch.setattr(tasks, name, lambda name=name, **given: stand_in(name, **given))
    if broken:
        with pytest.raises(RuntimeError, match=broken):
            tasks.look_after()
    else:
        tasks.look_after()
    assert done == names
