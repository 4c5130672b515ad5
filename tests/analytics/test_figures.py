"""What widgets show of what was counted."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from analytics.asking import figures_of
from analytics.charts.html import drawn
from analytics.charts.scales import bottom_of, part, ticks, top_of
from analytics.compaction import compact_rollups
from analytics.counting import count_marked
from analytics.defaults import DEFAULTS, SUBJECTS
from analytics.models import Horizon, Rollup
from analytics.periods import Grain
from analytics.shown import DAYS, Figures
from analytics.spans import Period, named_period, own_period
from analytics.widgets import Kind, WidgetSpec, step_of
from subscriptions.models import Subscription
from tests.analytics.history import NOW, History, make_history
from tests.factories import (
    make_account,
    make_attempt,
    make_delivery,
    make_receipt,
    make_source,
    make_subscription,
)
from webhooks_project.accounts.models import Account

pytestmark = pytest.mark.django_db


@pytest.fixture
def history() -> History:
    return make_history()


def figures(spec: WidgetSpec, account: Account, period: Period | None = None) -> Figures:
    [found] = figures_of(
        [spec], account_ids=[account.pk], period=period or named_period("24h", now=NOW)
    )
    return found


def widget(kind: str, *measures: str, **fields: Any) -> WidgetSpec:
    return WidgetSpec(title="A widget", kind=kind, measures=measures, **fields)


def texts(found: Figures) -> list[list[str]]:
    return [[cell.text for cell in row] for row in found.grid().rows]


# --- kinds ----------------------------------------------------------------------------------------


def test_a_number_is_compared_with_the_period_before(history: History) -> None:
    period = own_period(NOW.replace(hour=10, minute=0), NOW.replace(hour=12, minute=0))
    # 10 and 11 o'clock have 6 and 7 attempts of each endpoint, 8 and 9 o'clock 4 and 5.
    found = figures(widget(Kind.NUMBER, "attempts", "success_rate", compare=True),
                    history.account, period)  # fmt: skip
    assert texts(found) == [
        ["Attempts", "26", "18", "+44.4 %"],
        ["Success rate", "73.1 %", "72.2 %", "+0.9 points"],
    ]


def test_of_long_ago_a_chart_has_the_shortest_steps_that_are_kept(history: History) -> None:
    """Two hours are shown by minutes; those of ten days ago are gone, and the hours are not. By
    subscription days are left after two months."""
    period = own_period(NOW.replace(hour=10, minute=0), NOW.replace(hour=12, minute=0))
    line = widget(Kind.LINE, "attempts")
    by_endpoint = widget(Kind.STACKED, "attempts", dimensions=("subscription",))
    assert figures(line, history.account, period).step == "minute"
    with time_machine.travel(NOW + timedelta(days=10), tick=False):
        compact_rollups()
        found = figures(line, history.account, period)
        [series] = found.series()
        assert (found.problem, found.step, series.points) == ("", "hour", (12, 14))
        chosen = figures(replace(line, granularity="minute"), history.account, period)
        assert chosen.problem == (
            "So long ago that steps as short are kept no longer: ask for longer ones, or for later."
        )
    with time_machine.travel(NOW + timedelta(days=60), tick=False):
        compact_rollups()
        assert figures(line, history.account, period).step == "hour"
        morning = own_period(NOW.replace(hour=0, minute=0), NOW.replace(hour=12, minute=0))
        found = figures(by_endpoint, history.account, morning)
        assert (found.problem, found.step) == ("", "day")


def test_a_line_has_a_point_for_each_step_and_gaps_where_nothing_was(history: History) -> None:
    period = own_period(NOW.replace(hour=3, minute=0), NOW.replace(hour=7, minute=0))
    found = figures(widget(Kind.LINE, "success_rate", granularity="hour"), history.account, period)
    [series] = found.series()
    assert series.points == (None, None, 0.5, 0.75)
    found = figures(widget(Kind.BAR, "attempts", granularity="hour"), history.account, period)
    [series] = found.series()
    assert series.points == (0, 0, 2, 4)


def test_stacked_bars_have_a_colour_for_each_value(history: History) -> None:
    found = figures(widget(Kind.STACKED, "attempts", dimensions=("status_class",)), history.account)
    assert {series.name: sum(series.points) for series in found.series()} == {  # type: ignore[arg-type]
        "2xx": history.attempts - history.failed,
        "5xx": history.failed,
    }


def test_the_smallest_colours_come_together() -> None:
    account = make_account()
    for number in range(11):
        make_history(account, hours=1 + number % 3, good=f"Good {number}", bad=f"Bad {number}")
    found = figures(
        widget(Kind.STACKED, "attempts", dimensions=("subscription",), limit=5), account
    )
    series = found.series()
    assert [one.name for one in series][-1] == "all others (18)"
    assert len(series) == 5
    total = figures(widget(Kind.NUMBER, "attempts"), account).numbers()[0][1]
    assert sum(sum(point or 0 for point in one.points) for one in series) == total


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("measure", ["attempts", "success_rate"])
def test_a_split_chart_has_as_many_series_as_its_limit_and_says_what_it_leaves_out(
    history: History, measure: str, limit: int
) -> None:
    make_history(history.account, good="Sales", bad="Returns")
    spec = widget(Kind.LINE, measure, dimensions=("subscription",), limit=limit)
    found = figures(spec, history.account)
    names = [one.name for one in found.series()]
    if measure == "success_rate":
        assert len(names) == min(4, limit)
        assert set(names) <= {"Billing", "Warehouse", "Sales", "Returns"}
        said = {1: "3 more not shown", 2: "2 more not shown", 3: "1 more not shown", 5: ""}
        assert found.left_out == said[limit]
    else:
        assert len(names) == {1: 2, 2: 2, 3: 3, 5: 4}[limit]
        others = {1: "all others (3)", 2: "all others (3)", 3: "all others (2)"}
        assert limit == 5 or names[-1] == others[limit]
        assert found.left_out == ""
    assert ("more not shown" in drawn(found)) is bool(found.left_out)


def test_of_very_many_at_least_so_many_are_left_out(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("analytics.widgets.MAX_SPLIT", 2)
    monkeypatch.setattr("analytics.shown.MAX_SPLIT", 2)
    spec = widget(Kind.LINE, "success_rate", dimensions=("subscription",), limit=1)
    assert figures(spec, history.account).left_out == "at least 1 more not shown"


def test_bars_without_an_axis_of_time_rank_values_and_leave_out_what_is_nothing(
    history: History,
) -> None:
    found = figures(widget(Kind.BAR, "failed", dimensions=("subscription",)), history.account)
    assert [(line.name, line.values["failed"]) for line in found.lines] == [
        ("Warehouse", history.failed)
    ]


def test_a_heat_map_has_the_hours_of_the_week(history: History) -> None:
    found = figures(widget(Kind.HEAT_MAP, "receipts"), history.account)
    hours = found.hours()
    thursday = DAYS.index("Thursday")
    assert hours[thursday][5:15] == list(range(1, 11))
    assert sum(value or 0 for day in hours for value in day) == history.receipts
    assert [row[0] for row in texts(found)] == list(DAYS)


def test_hours_of_a_heat_map_are_those_of_the_time_zone(history: History) -> None:
    period = named_period("24h", now=NOW, time_zone="Asia/Tokyo")  # nine hours ahead
    hours = figures(widget(Kind.HEAT_MAP, "receipts"), history.account, period).hours()
    assert hours[DAYS.index("Thursday")][14:24] == list(range(1, 11))


def test_a_table_names_rows_and_ranks_them(history: History) -> None:
    found = figures(
        widget(Kind.TABLE, "failed", "attempts", dimensions=("subscription",), order_by="failed"),
        history.account,
    )
    half = history.attempts // 2
    assert found.grid().headers == ("Subscription", "Failed", "Attempts")
    assert texts(found) == [
        ["Warehouse", str(history.failed), str(half)], ["Billing", "0", str(half)],
    ]  # fmt: skip


def test_a_table_of_two_dimensions(history: History) -> None:
    found = figures(
        widget(Kind.TABLE, "attempts", dimensions=("subscription", "status_class")),
        history.account,
    )
    assert found.grid().headers == ("Subscription", "Status class", "Attempts")
    assert {tuple(row[:2]) for row in texts(found)} == {
        ("Billing", "2xx"), ("Warehouse", "2xx"), ("Warehouse", "5xx"),
    }  # fmt: skip


def test_filters_leave_the_rest_out(history: History) -> None:
    found = figures(
        widget(Kind.NUMBER, "attempts", filters={"subscription": (str(history.bad.pk),),
                                                 "cause": ("status_5xx",)}),
        history.account,
    )  # fmt: skip
    assert found.numbers()[0][1] == history.failed


def test_dead_letters_are_those_that_wait_now() -> None:
    account = make_account()
    subscription = make_subscription(account)
    for cause in ("timeout", "timeout", "dns"):
        make_delivery(None, subscription, status="exhausted", last_cause=cause)
    make_receipt(status="dead", dead_at=NOW, next_attempt_at=None)  # another account's
    found = figures(widget(Kind.DEAD_LETTERS), account)
    assert [(line.keys[1].name, line.values["waiting"]) for line in found.lines] == [
        ("timeout", 2), ("dns", 1),
    ]  # fmt: skip


def test_discarded_dead_letters_wait_no_longer() -> None:
    source = make_source()
    for reason in ("", "ours", "sent again by hand"):
        make_receipt(source, status="dead", dead_at=NOW, next_attempt_at=None,
                     discard_reason=reason)  # fmt: skip
    found = figures(widget(Kind.DEAD_LETTERS), source.account)
    assert [(line.keys[1].name, line.values["waiting"]) for line in found.lines] == [("push", 1)]


def test_rows_of_the_same_name_are_told_apart_and_deleted_ones_are_said_to_be() -> None:
    history = make_history(good="Same", bad="Same")
    found = figures(widget(Kind.TABLE, "attempts", dimensions=("subscription",)), history.account)
    assert sorted(row[0] for row in texts(found)) == sorted(
        f"Same (…{str(row.pk)[-4:]})" for row in (history.good, history.bad)
    )


def test_no_other_account_is_counted_or_named(history: History) -> None:
    other = make_history()
    found = figures(widget(Kind.TABLE, "attempts", dimensions=("subscription",)), other.account)
    assert {line.keys[0].value for line in found.lines} == {
        str(other.good.pk), str(other.bad.pk),
    }  # fmt: skip


def test_names_of_one_kind_of_row_take_one_query(history: History) -> None:
    specs = [
        widget(Kind.TABLE, "attempts", dimensions=("subscription",)),
        widget(Kind.BAR, "failed", dimensions=("subscription",)),
    ]
    with CaptureQueriesContext(connection) as queries:
        figures_of(specs, account_ids=[history.account.pk], period=named_period("24h", now=NOW))
    table = f'FROM "{Subscription._meta.db_table}"'
    assert sum(table in query["sql"] for query in queries) == 1


# --- steps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "granularity", "period", "step"),
    [
        (Kind.LINE, "", "1h", "minute"),
        (Kind.LINE, "", "7d", "hour"),
        (Kind.STACKED, "", "7d", "day"),
        (Kind.LINE, "", "1y", "week"),
        (Kind.LINE, "day", "1h", "day"),
        (Kind.LINE, "minute", "1y", "day"),  # a year of minutes is no chart
        (Kind.NUMBER, "", "1y", ""),
        (Kind.TABLE, "", "1y", ""),
        (Kind.TABLE, "day", "30d", "day"),
        (Kind.HEAT_MAP, "", "30d", "hour_of_week"),
    ],
)
def test_steps_follow_the_period(kind: str, granularity: str, period: str, step: str) -> None:
    spec = widget(kind, "attempts", granularity=granularity)
    assert step_of(spec, named_period(period, now=NOW)) == step


# --- drawing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("period", ["1h", "24h", "7d", "30d", "90d", "1y"])
def test_everything_known_is_drawn_in_every_period(history: History, period: str) -> None:
    found = figures_of(
        [spec for subject in SUBJECTS.values() for spec in subject.widgets],
        account_ids=[history.account.pk],
        period=named_period(period, now=NOW, time_zone="Europe/Berlin"),
    )
    assert {one.problem for one in found} == {""}
    for one in found:
        assert drawn(one)


def test_an_account_on_its_first_day_is_told_what_brings_figures() -> None:
    found = figures_of(
        [spec for subject in SUBJECTS.values() for spec in subject.widgets],
        account_ids=[make_account().pk],
        period=named_period("24h", now=NOW),
    )
    for one in found:
        html = drawn(one)
        assert 'class="hub-empty" role="status"' in html
        assert re.search(r"Add a (subscription|source)|None: |Nothing (failed|was refused)", html)


def test_each_chart_has_its_figures_as_a_table(history: History) -> None:
    html = drawn(figures(widget(Kind.STACKED, "succeeded", "failed"), history.account))
    assert '<div class="hub-chart" aria-hidden="true">' in html
    assert "Figures as a table" in html
    assert html.count("<tr>") == 25  # the headers and 24 hours
    assert f">{10 - 5 + 10}</td>" in html  # of the last hour


def test_what_strangers_named_is_escaped(history: History) -> None:
    attack = "\"'><script>alert(1)</script>"
    history.good.name = attack
    history.good.save()
    for kind in (Kind.TABLE, Kind.BAR, Kind.STACKED, Kind.LINE):
        spec = WidgetSpec(title=attack, kind=kind, measures=("attempts",),
                          dimensions=("subscription",))  # fmt: skip
        html = drawn(figures(spec, history.account))
        assert "<script" not in html
        assert "&lt;script&gt;" in html


def test_what_cannot_be_answered_says_so_and_the_others_stand(history: History) -> None:
    found = figures_of(
        [
            widget(Kind.TABLE, "receipts", dimensions=("subscription",)),
            widget(Kind.NUMBER, "attempts"),
        ],
        account_ids=[history.account.pk],
        period=named_period("24h", now=NOW),
    )
    assert found[0].problem
    assert found[0].problem in drawn(found[0]).replace("&#x27;", "'")
    assert found[1].numbers()[0][1] == history.attempts


@pytest.mark.parametrize(
    ("values", "unit", "top"),
    [
        ([], "count", 1), ([0], "count", 1), ([1], "count", 1), ([3], "count", 3),
        ([4], "count", 4), ([5], "count", 8), ([9], "count", 20), ([95], "count", 100),
        ([1234], "count", 2000), ([0.3], "rate", 1), ([None, 40.0], "ms", 40),
        ([41.0], "ms", 80), ([7.0], "ms", 8),
    ],
)  # fmt: skip
def test_the_top_of_an_axis_is_round_and_above_all(
    values: list[Any], unit: Any, top: float
) -> None:
    assert top_of(values, unit) == top
    marks = ticks(0, top, unit)
    assert marks[-1] == top
    assert all(part(value or 0, 0, top) <= 1 for value in values)
    if unit == "count":
        assert all(mark == int(mark) for mark in marks)


def test_rates_that_are_all_high_are_told_apart() -> None:
    assert bottom_of([0.96, 0.99, None], "rate") == 0.95
    assert bottom_of([0.1, 0.99], "rate") == 0
    assert bottom_of([990, 1000], "count") == 0


# --- defaults -------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kolkata"])
@pytest.mark.parametrize("name", ["1h", "1y"])
def test_every_widget_that_the_hub_knows_has_an_answer(
    name: str, zone: str, history: History
) -> None:
    period = named_period(name, now=NOW, time_zone=zone)
    for subject in SUBJECTS.values():
        for account_ids in ([history.account.pk], None):
            found = figures_of(subject.widgets, account_ids=account_ids, period=period)
            assert [one.problem for one in found] == [""] * len(subject.widgets)
            assert all(drawn(one) for one in found)


def test_the_overview_shows_what_the_first_look_needs() -> None:
    asked = {measure for spec in DEFAULTS["overview"].widgets for measure in spec.measures}
    assert {
        "attempts", "success_rate", "response_p50_ms", "response_p95_ms", "response_p99_ms",
        "failed",
    } <= asked  # fmt: skip
    kinds = {spec.kind for spec in DEFAULTS["overview"].widgets}
    assert Kind.DEAD_LETTERS in kinds
    assert {spec.kind for spec in DEFAULTS["incoming"].widgets} >= {Kind.HEAT_MAP}


# --- nothing, and 0 -------------------------------------------------------------------------------


def test_a_rate_of_nothing_but_failures_is_shown() -> None:
    made = make_history()
    Rollup.objects.update(cause="status_5xx", status_class="5xx")
    number = figures(widget(Kind.NUMBER, "success_rate"), made.account)
    assert not number.is_empty
    assert "0 %" in drawn(number)
    bars = figures(widget(Kind.BAR, "success_rate", dimensions=("subscription",)), made.account)
    assert sorted(texts(bars)) == [["Billing", "0 %"], ["Warehouse", "0 %"]]


def test_what_was_before_is_shown_beside_0(history: History) -> None:
    period = Period(NOW + timedelta(minutes=30), NOW + timedelta(hours=2))
    number = figures(widget(Kind.NUMBER, "attempts", compare=True), history.account, period)
    assert not number.is_empty
    assert "before: 20" in drawn(number)
    assert figures(widget(Kind.NUMBER, "attempts"), history.account, period).is_empty


def test_a_chart_that_is_split_asks_for_the_largest_alone(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = widget(Kind.STACKED, "attempts", dimensions=("subscription",), limit=2)
    for name in ("East", "West"):
        row = make_subscription(history.account, name=name)
        make_attempt(make_delivery(subscription=row), started_at=NOW - timedelta(hours=1))
    count_marked()
    whole = [one.name for one in figures(spec, history.account).series()]
    assert whole == ["Billing", "all others (3)"]
    monkeypatch.setattr("analytics.widgets.MAX_SPLIT", 3)
    monkeypatch.setattr("analytics.shown.MAX_SPLIT", 3)
    cut = figures(spec, history.account)
    assert [one.name for one in cut.series()] == ["Billing", "the next largest (2)"]
    assert len({line.name for line in cut.lines}) == 3


def test_a_heat_map_of_days_alone_says_that_hours_are_kept_no_longer(history: History) -> None:
    since = NOW - timedelta(days=1)
    for is_wide in (False, True):
        Horizon.objects.create(grain=Grain.HOUR, is_wide=is_wide, since=NOW + timedelta(hours=10))
    found = figures(widget(Kind.HEAT_MAP, "attempts"), history.account, Period(since, NOW))
    assert "kept no longer" in drawn(found)
