"""How long a source is usually silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.usual import LEAST, Profile, hour_of_week, learn, usual_silence

NOW = datetime(2026, 3, 4, 12, 20, tzinfo=UTC)  # a Wednesday
HOUR = timedelta(hours=1)
THIS_HOUR = NOW.replace(minute=0)


def history(weeks: float, pattern: dict[int, int] | int) -> dict[datetime, int]:
    """So many calls in each hour, or in each hour of the week."""
    hours = [THIS_HOUR - n * HOUR for n in range(1, int(weeks * 168) + 1)]
    if isinstance(pattern, int):
        return dict.fromkeys(hours, pattern)
    return {hour: pattern[hour_of_week(hour)] for hour in hours if hour_of_week(hour) in pattern}


OFFICE = {day * 24 + hour: 10 for day in range(5) for hour in range(8, 18)}


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


@pytest.mark.parametrize(
    ("pattern", "last", "usual"),
    [
        (100, "2026-03-04T11:55", LEAST),  # five come in three minutes of the next hour
        (100, "2026-03-04T11:00", timedelta(minutes=63)),
        (10, "2026-03-04T12:00", timedelta(minutes=90)),
        (10, "2026-03-04T11:45", timedelta(minutes=45)),
        (1, "2026-03-04T12:00", 6 * HOUR),
        (OFFICE, "2026-03-04T12:00", timedelta(minutes=90)),
        # After hours: until the next morning has had its half hour.
        (OFFICE, "2026-03-04T18:00", timedelta(hours=14, minutes=30)),
        (OFFICE, "2026-03-04T17:45", timedelta(hours=14, minutes=45)),
        # From Friday evening to Monday morning.
        (OFFICE, "2026-03-06T18:00", timedelta(hours=62, minutes=30)),
        # All at once, on Mondays.
        ({9: 50}, "2026-03-02T09:05", timedelta(days=7, minutes=1)),
    ],
)
def test_goes_by_the_hour_of_the_week(
    pattern: dict[int, int] | int, last: str, usual: timedelta
) -> None:
    profile = learn(history(4, pattern), NOW)
    found = usual_silence(profile, at(last))
    assert found is not None
    assert abs(found - usual) < timedelta(seconds=1)


def test_one_odd_week_changes_nothing() -> None:
    hours = history(4, OFFICE)
    for hour in list(hours):
        if NOW - timedelta(days=7) < hour < NOW - timedelta(days=5):
            del hours[hour]
    hours[at("2026-02-28T03:00")] = 5_000
    profile = learn(hours, NOW)
    assert profile.by_hour == learn(history(4, OFFICE), NOW).by_hour


def test_a_short_history_gives_its_longest_gap() -> None:
    hours = {THIS_HOUR - 40 * HOUR: 10, THIS_HOUR - 30 * HOUR: 10, THIS_HOUR - 29 * HOUR: 10}
    profile = learn(hours, NOW)
    assert profile == Profile((), 10 * HOUR)
    assert usual_silence(profile, NOW - 29 * HOUR) == 10 * HOUR


def test_a_source_heard_seldom_gives_its_longest_gap_too() -> None:
    """Two a week at any time: no hour of the week says anything."""
    hours = {THIS_HOUR - n * 61 * HOUR: 3 for n in range(1, 11)}
    profile = learn(hours, NOW)
    assert set(profile.by_hour) == {0.0, 1.5} or max(profile.by_hour) <= 1.5
    assert profile.longest_gap == 61 * HOUR
    found = usual_silence(profile, THIS_HOUR - 61 * HOUR)
    assert found is not None
    assert found >= 61 * HOUR


@pytest.mark.parametrize(
    "hours",
    [
        {},
        {THIS_HOUR - HOUR: 19},  # too few
        {THIS_HOUR: 500},  # this hour is not over
        {THIS_HOUR - timedelta(weeks=4, hours=1): 500},  # too long ago
    ],
)
def test_where_there_is_too_little_nothing_is_unusual(hours: dict[datetime, int]) -> None:
    profile = learn(hours, NOW)
    assert profile == Profile()
    assert usual_silence(profile, NOW) is None


def test_one_hour_alone_has_no_gap() -> None:
    profile = learn({THIS_HOUR - HOUR: 500}, NOW)
    assert usual_silence(profile, NOW) is None


@given(
    st.dictionaries(st.integers(1, 1_000), st.integers(0, 10_000), max_size=200),
    st.integers(0, 60 * 24 * 30),
)
def test_any_history(counts: dict[int, int], minutes: int) -> None:
    profile = learn({THIS_HOUR - hours * HOUR: count for hours, count in counts.items()}, NOW)
    assert Profile.from_json(profile.as_json()) == profile
    assert len(profile.by_hour) in (0, 168)
    found = usual_silence(profile, NOW - timedelta(minutes=minutes))
    assert found is None or LEAST <= found <= timedelta(weeks=4)
