"""Periods that are looked at, their steps, and the hours of reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.spans import (
    NAMED,
    Period,
    PeriodNotAcceptable,
    TimeZoneUnknown,
    granularity_of,
    last_full,
    named_period,
    next_slot,
    own_period,
    steps_of,
)

NOW = datetime(2026, 3, 31, 14, 5, 30, tzinfo=UTC)  # two days after Berlin put its clocks forward
BERLIN = "Europe/Berlin"


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("1h", at("2026-03-31T13:06")),
        ("24h", at("2026-03-30T15:00")),
        ("7d", at("2026-03-25T00:00", BERLIN)),
        ("30d", at("2026-03-02T00:00", BERLIN)),
        ("90d", at("2026-01-01T00:00", BERLIN)),
        ("1y", at("2025-04-01T00:00", BERLIN)),
    ],
)
def test_a_named_period_ends_with_this_minute(name: str, since: datetime) -> None:
    period = named_period(name, now=NOW, time_zone=BERLIN)
    assert (period.since, period.until) == (since, at("2026-03-31T14:06"))
    assert period.name == name


@pytest.mark.parametrize(
    ("name", "since"),
    [
        ("1h", at("2026-03-31T23:00", BERLIN)),
        ("24h", at("2026-03-31T00:00", BERLIN)),
        ("7d", at("2026-03-25T00:00", BERLIN)),
        ("30d", at("2026-03-02T00:00", BERLIN)),
        ("90d", at("2026-01-01T00:00", BERLIN)),
        ("1y", at("2025-04-01T00:00", BERLIN)),
    ],
)
def test_a_named_period_is_as_long_in_the_last_minute_of_the_day(
    name: str, since: datetime
) -> None:
    last = at("2026-03-31T23:59:30", BERLIN)
    period = named_period(name, now=last, time_zone=BERLIN)
    assert (period.since, period.until) == (since, at("2026-04-01T00:00", BERLIN))


def test_refuses_a_period_that_it_does_not_know() -> None:
    with pytest.raises(PeriodNotAcceptable):
        named_period("2w", now=NOW)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "posixrules"])
def test_refuses_a_time_zone_that_there_is_not(zone: str) -> None:
    with pytest.raises(TimeZoneUnknown):
        named_period("1h", now=NOW, time_zone=zone)


def test_moments_of_a_period_of_ones_own_are_local() -> None:
    period = own_period(datetime(2026, 3, 1, 9), datetime(2026, 3, 2, 9), time_zone=BERLIN)  # noqa: DTZ001
    assert (period.since, period.until) == (at("2026-03-01T08:00"), at("2026-03-02T08:00"))


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (NOW, NOW),
        (NOW, NOW - timedelta(seconds=1)),
        (NOW, NOW + timedelta(days=733)),
        (datetime(1, 1, 1), datetime(1, 1, 2)),  # noqa: DTZ001
        (datetime(9999, 12, 30), datetime(9999, 12, 31)),  # noqa: DTZ001
    ],
)
def test_refuses_a_period_that_cannot_be(since: datetime, until: datetime) -> None:
    with pytest.raises(PeriodNotAcceptable):
        own_period(since, until, time_zone=BERLIN)


def test_days_are_those_of_the_time_zone_and_one_of_them_has_23_hours() -> None:
    period = own_period(datetime(2026, 3, 28), datetime(2026, 3, 31), time_zone=BERLIN)  # noqa: DTZ001
    assert steps_of(period, "day") == [
        at("2026-03-27T23:00"), at("2026-03-28T23:00"), at("2026-03-29T22:00"),
    ]  # fmt: skip
    assert len(steps_of(period, "hour")) == 71


def test_weeks_begin_on_monday_and_months_on_the_first() -> None:
    period = own_period(at("2026-03-04T05:00"), at("2026-04-02T00:00"))
    assert steps_of(period, "week")[:2] == [at("2026-03-02T00:00"), at("2026-03-09T00:00")]
    assert steps_of(period, "month") == [at("2026-03-01T00:00"), at("2026-04-01T00:00")]


def test_hours_of_a_zone_with_half_hours_are_its_own() -> None:
    period = Period(at("2026-03-04T05:40"), at("2026-03-04T07:00"), "Asia/Kolkata")
    assert steps_of(period, "hour") == [at("2026-03-04T05:30"), at("2026-03-04T06:30")]


@given(
    name=st.sampled_from(list(NAMED)),
    zone=st.sampled_from(["UTC", BERLIN, "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]),
    granularity=st.sampled_from(["hour", "day", "week", "month"]),
    now=st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_steps_cover_the_period_without_gaps(
    name: str, zone: str, granularity: str, now: datetime
) -> None:
    period = named_period(name, now=now, time_zone=zone)
    steps = steps_of(period, granularity)
    assert steps[0] <= period.since
    assert len(steps) == 1 or steps[1] > period.since
    assert steps == sorted(set(steps))
    assert steps[-1] < period.until


@pytest.mark.parametrize(
    ("name", "most", "expected"),
    [
        ("1h", 62, "minute"),
        ("24h", 62, "hour"),
        ("7d", 62, "day"),
        ("7d", 200, "hour"),
        ("30d", 62, "day"),
        ("90d", 62, "week"),
        ("1y", 62, "week"),
        ("1y", 12, "month"),
    ],
)
def test_steps_are_as_fine_as_a_chart_bears(name: str, most: int, expected: str) -> None:
    assert granularity_of(named_period(name, now=NOW), most) == expected


@pytest.mark.parametrize(
    ("kind", "since", "until", "said"),
    [
        ("daily", "2026-03-30T00:00", "2026-03-31T00:00", "2026-03-30"),
        ("weekly", "2026-03-23T00:00", "2026-03-30T00:00", "2026-03-23 to 2026-03-29"),
        ("monthly", "2026-02-01T00:00", "2026-03-01T00:00", "2026-02-01 to 2026-02-28"),
    ],
)
def test_a_report_is_of_the_last_whole_period(kind: str, since: str, until: str, said: str) -> None:
    period = last_full(kind, NOW, BERLIN)
    assert (period.since, period.until) == (at(since, BERLIN), at(until, BERLIN))
    assert str(period) == said


@pytest.mark.parametrize(
    ("kind", "hour", "after", "due"),
    [
        ("daily", 8, "2026-03-30T07:59", "2026-03-30T08:00"),
        ("daily", 8, "2026-03-30T08:00", "2026-03-31T08:00"),
        ("weekly", 8, "2026-03-30T08:00", "2026-04-06T08:00"),
        ("weekly", 8, "2026-03-29T08:00", "2026-03-30T08:00"),
        ("monthly", 8, "2026-03-01T08:00", "2026-04-01T08:00"),
        ("monthly", 8, "2026-12-31T23:00", "2027-01-01T08:00"),
        # The clocks leave this hour out.
        ("daily", 2, "2026-03-29T00:30", "2026-03-29T03:00"),
    ],
)
def test_when_a_report_is_due_next(kind: str, hour: int, after: str, due: str) -> None:
    assert next_slot(kind, hour, at(after, BERLIN), BERLIN) == at(due, BERLIN)


@given(
    kind=st.sampled_from(["daily", "weekly", "monthly"]),
    hour=st.integers(0, 23),
    zone=st.sampled_from(["UTC", BERLIN, "America/St_Johns", "Pacific/Apia"]),
    after=st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_what_is_due_next_is_later_and_not_too_late(
    kind: str, hour: int, zone: str, after: datetime
) -> None:
    due = next_slot(kind, hour, after, zone)
    longest = {"daily": 1, "weekly": 7, "monthly": 31}[kind]
    assert timedelta() < due - after <= timedelta(days=longest, hours=2)
    assert last_full(kind, due, zone).until <= due
