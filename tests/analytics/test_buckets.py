"""Periods by the clocks of a time zone, and the rollups that make them up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.buckets import MAX_BUCKETS, buckets, hour_of_week, moved_back, segments, zone_of
from analytics.errors import TooManyPeriods, UnknownTimeZone
from analytics.periods import Grain, end_of, start_of
from analytics.query import Granularity

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 700_000).map(lambda minutes: START + timedelta(minutes=minutes))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu",
     "Australia/Lord_Howe", "America/St_Johns", "Africa/Cairo", "Pacific/Apia"]
)  # fmt: skip


def local(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).astimezone(UTC)


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25)]
)
def test_a_local_day_has_its_hours(day: str, hours: int) -> None:
    start = local(day)
    [found] = buckets(start, start + timedelta(hours=hours), Granularity.DAY, BERLIN)
    assert (found.start, found.end) == (start, start + timedelta(hours=hours))
    of_day = buckets(start, start + timedelta(hours=hours), Granularity.HOUR, BERLIN)
    assert len(of_day) == hours
    assert {bucket.end - bucket.start for bucket in of_day} == {timedelta(hours=1)}


def test_an_hour_that_comes_twice_is_two_but_one_of_the_week() -> None:
    start = local("2026-10-25")
    of_day = buckets(start, start + timedelta(hours=25), Granularity.HOUR_OF_WEEK, BERLIN)
    found = [hour_of_week(bucket.at, BERLIN) - 6 * 24 for bucket in of_day]
    assert found == [0, 1, 2, 2, *range(3, 24)]


@given(
    since=MOMENTS,
    length=st.integers(1, 20_000),
    granularity=st.sampled_from([item for item in Granularity if item is not Granularity.MINUTE]),
    name=ZONES,
)
def test_periods_follow_each_other_without_a_gap(
    since: datetime, length: int, granularity: Granularity, name: str
) -> None:
    until = since + timedelta(minutes=length)
    found = buckets(since, until, granularity, ZoneInfo(name))
    assert (found[0].start, found[-1].end) == (since, until)
    for one, following in pairwise(found):
        assert one.end == following.start == following.at
    assert all(bucket.start < bucket.end for bucket in found)
    if granularity in (Granularity.DAY, Granularity.WEEK, Granularity.MONTH):
        assert len({bucket.at.astimezone(ZoneInfo(name)).date() for bucket in found}) == len(found)


@given(start=MOMENTS, length=st.integers(0, 200_000))
def test_segments_tile_the_period_in_whole_periods_of_their_grain(
    start: datetime, length: int
) -> None:
    end = start + timedelta(minutes=length)
    parts, is_exact = segments(start, end, {})
    assert is_exact
    at = start
    for part in parts:
        assert part.start == at < part.end
        assert start_of(part.start, part.grain) == part.start
        assert start_of(part.end, part.grain) == part.end
        at = part.end
    assert at == end
    # No two edges of a grain where one whole coarser period would do.
    assert sum(part.grain is Grain.MONTH for part in parts) <= 1
    assert len(parts) <= 7


@given(
    start=MOMENTS,
    lengths=st.lists(st.integers(1, 5_000), min_size=1, max_size=5),
    minutes_since=MOMENTS,
    hours_kept=st.integers(0, 400),
)
def test_where_fine_rows_are_gone_neighbours_still_neither_overlap_nor_leave_a_gap(
    start: datetime, lengths: list[int], minutes_since: datetime, hours_kept: int
) -> None:
    hour_horizon = start_of(minutes_since - timedelta(hours=hours_kept), Grain.DAY)
    since = {Grain.MINUTE: start_of(minutes_since, Grain.HOUR), Grain.HOUR: hour_horizon}
    at, seen, exactly = start, [], True
    for length in lengths:
        parts, is_exact = segments(at, at + timedelta(minutes=length), since)
        seen += parts
        exactly = exactly and is_exact
        at += timedelta(minutes=length)
    for part in seen:
        horizon = since.get(part.grain)
        assert horizon is None or part.start >= horizon
    for one, following in pairwise(seen):
        assert one.end == following.start
    if exactly:
        assert (seen[0].start, seen[-1].end) == (start, at)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        ("2026-03-02", "2026-03-09", "2026-02-23"),
        # The seven days before the change have 167 hours or 169.
        ("2026-03-30", "2026-04-06", "2026-03-23"),
        ("2026-10-26", "2026-11-02", "2026-10-19"),
    ],
)
def test_the_period_before_has_as_many_days(since: str, until: str, expected: str) -> None:
    assert moved_back(local(since), local(until), BERLIN) == (local(expected), local(since))


@pytest.mark.parametrize(
    ("since", "until", "before"),
    [
        # From half past one (CET) the clocks are put from two to three in spring.
        ("2026-03-29T03:30+02:00", "2026-03-29T04:30+02:00", "2026-03-29T01:30+01:00"),
        ("2026-03-29T01:30+01:00", "2026-03-29T03:30+02:00", "2026-03-29T00:30+01:00"),
        # And from three (CEST) back to two in autumn.
        ("2026-10-25T02:16+02:00", "2026-10-25T02:16+01:00", "2026-10-25T01:16+02:00"),
        ("2026-10-25T02:46+02:00", "2026-10-25T02:16+01:00", "2026-10-25T02:16+02:00"),
        ("2026-10-25T02:30+01:00", "2026-10-25T03:00+01:00", "2026-10-25T02:00+01:00"),
        # A day up to now, of which one end alone is midnight.
        ("2026-10-26T00:00+01:00", "2026-10-26T12:00+01:00", "2026-10-25T12:00+01:00"),
        # A whole day of 25 hours, and of 23.
        ("2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00", "2026-10-24T00:00+02:00"),
        ("2026-03-30T00:00+02:00", "2026-03-31T00:00+02:00", "2026-03-29T00:00+01:00"),
    ],
)
def test_the_period_before_is_as_long_unless_it_is_of_whole_days(
    since: str, until: str, before: str
) -> None:
    start, end = datetime.fromisoformat(since), datetime.fromisoformat(until)
    assert moved_back(start, end, BERLIN) == (datetime.fromisoformat(before), start)


def test_a_day_without_a_midnight_is_a_whole_day() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # its clocks go from 24 April 00:00 to 01:00
    since, until = datetime(2026, 4, 23, 22, tzinfo=UTC), datetime(2026, 4, 24, 21, tzinfo=UTC)
    assert moved_back(since, until, cairo) == (datetime(2026, 4, 22, 22, tzinfo=UTC), since)


def test_months_end_where_the_next_begins() -> None:
    assert end_of(datetime(2026, 12, 1, tzinfo=UTC), Grain.MONTH) == datetime(
        2027, 1, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "name",
    [
        "Mars/Olympus",
        "",
        "../etc/passwd",
        "a" * 300,
        "Europe/\0",
        "posixrules",
        "right/UTC",
        "posix/UTC",
    ],
)
def test_refuses_what_is_no_time_zone(name: str) -> None:
    with pytest.raises(UnknownTimeZone):
        zone_of(name)


def test_refuses_too_many_periods() -> None:
    until = START + timedelta(minutes=MAX_BUCKETS)
    assert len(buckets(START, until, Granularity.MINUTE, BERLIN)) == MAX_BUCKETS
    with pytest.raises(TooManyPeriods):
        buckets(START, until + timedelta(minutes=1), Granularity.MINUTE, BERLIN)
