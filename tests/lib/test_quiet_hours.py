"""Quiet hours by the clock of a time zone, also where that is put on or back."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks_project.lib.quiet_hours import QuietHours

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


def end(begin: str, until: str, moment: str, zone: ZoneInfo = BERLIN) -> str | None:
    hours = QuietHours(time.fromisoformat(begin), time.fromisoformat(until), zone)
    found = hours.end_of(datetime.fromisoformat(moment).replace(tzinfo=UTC))
    return found.strftime("%Y-%m-%dT%H:%M:%S") if found else None


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-10T20:59:59", None),
        ("2026-01-10T21:00:00", "2026-01-11T06:00:00"),
        ("2026-01-11T05:59:59", "2026-01-11T06:00:00"),
        ("2026-01-11T06:00:00", None),
        ("2026-01-11T12:00:00", None),
    ],
)
def test_over_midnight(moment: str, expected: str | None) -> None:
    assert end("22:00", "07:00", moment) == expected


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-01-10T10:59:59", None),
        ("2026-01-10T11:00:00", "2026-01-10T12:00:00"),
        ("2026-01-10T12:00:00", None),
    ],
)
def test_within_a_day(moment: str, expected: str | None) -> None:
    assert end("12:00", "13:00", moment) == expected


def test_an_end_that_the_clock_leaves_out_is_when_it_is_put_on() -> None:
    """On 29 March two o'clock is followed by three: at one in UTC."""
    assert end("22:00", "02:30", "2026-03-29T00:30:00") == "2026-03-29T01:00:00"
    assert end("22:00", "02:30", "2026-03-29T01:00:00") is None


def test_a_begin_that_the_clock_leaves_out_is_when_it_is_put_on() -> None:
    assert end("02:30", "06:00", "2026-03-29T00:59:59") is None
    assert end("02:30", "06:00", "2026-03-29T01:00:00") == "2026-03-29T04:00:00"


def test_an_end_that_comes_twice_is_the_last() -> None:
    """On 25 October half past two comes at 00:30 and at 01:30 in UTC."""
    assert end("22:00", "02:30", "2026-10-25T00:45:00") == "2026-10-25T01:30:00"
    assert end("22:00", "02:30", "2026-10-25T01:30:00") is None


def test_a_begin_that_comes_twice_is_the_first() -> None:
    assert end("02:30", "06:00", "2026-10-25T00:30:00") == "2026-10-25T05:00:00"


@given(
    begin=st.times(),
    until=st.times(),
    zone=st.sampled_from(ZONES),
    minute=st.integers(0, 2 * 365 * 24 * 60),
)
def test_every_end_is_one(begin: time, until: time, zone: str, minute: int) -> None:
    """It is in the future, within 26 hours, and at it the hours are over."""
    if begin == until:
        return
    hours = QuietHours(begin, until, ZoneInfo(zone))
    now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
    found = hours.end_of(now)
    local = now.astimezone(ZoneInfo(zone)).time()
    within = begin <= local < until if begin < until else local >= begin or local < until
    if within:
        assert found is not None
    if found is None:
        return
    assert now < found <= now + timedelta(hours=26)
    last = hours.end_of(found - timedelta(microseconds=1))
    assert last == found
