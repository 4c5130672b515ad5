from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

import pytest
import time_machine

from webhooks_project.lib import clock
from webhooks_project.lib.ids import new_id, new_id_at, new_ids


def test_later_keys_sort_later_also_within_a_millisecond() -> None:
    keys = [new_id() for _ in range(20_000)]
    assert keys == sorted(keys)
    assert len(set(keys)) == len(keys)
    assert {key.version for key in keys} == {7}


def test_many_at_once_are_as_those_made_one_by_one() -> None:
    before, keys, after = new_id(), new_ids(1_000), new_id_at(clock.now() + timedelta(seconds=1))
    assert keys == sorted(set(keys))
    assert {(key.version, key.variant) for key in keys} == {(7, RFC_4122)}
    assert before.int >> 80 <= keys[0].int >> 80 == keys[-1].int >> 80 < after.int >> 80
    assert len(set(keys) | set(new_ids(1_000))) == 2_000
    assert new_ids(0) == []


@pytest.mark.parametrize(
    ("seconds", "moment"),
    [
        (None, None),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (1_772_600_767.25, datetime(2026, 3, 4, 5, 6, 7, 250_000, tzinfo=UTC)),
        (-1, datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (1e300, None),
        (-1e300, None),
        (float("inf"), None),
        (float("nan"), None),
        (10**30, None),
    ],
)
def test_a_moment_that_no_calendar_has_is_none(
    seconds: float | None, moment: datetime | None
) -> None:
    assert clock.from_unix(seconds) == moment


def test_the_clock_can_be_frozen() -> None:
    moment = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    with time_machine.travel(moment, tick=False):
        assert clock.now() == moment


def test_an_id_for_a_moment_to_come_sorts_as_if_it_was_made_then() -> None:
    moment = datetime.now(UTC) + timedelta(days=30)
    step = timedelta(milliseconds=1)
    made = [new_id_at(moment) for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert new_id() < new_id_at(moment - step) < made[0]
    assert made[-1] < new_id_at(moment + step)
    assert {key.version for key in made} == {7}
    assert {key.variant for key in made} == {RFC_4122}
