"""What charts draw, and what they say in words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from analytics.charts.html import drawn
from analytics.forecasts import forecast_figures
from analytics.measures import describe
from analytics.query import Answer, Measure, Row
from analytics.shown import Figures, Key, Line
from analytics.spans import Period
from analytics.trends import MIN_DAYS
from analytics.widgets import Kind, WidgetSpec

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WEEK = Period(START, START + 7 * DAY)


def spec_of(kind: str, *measures: str, **fields: object) -> WidgetSpec:
    return WidgetSpec(title="It", kind=kind, measures=measures, **fields)  # type: ignore[arg-type]


def line_of(*rates: tuple[float | None, ...]) -> Figures:
    """A line chart of hours; of each a value for each of the first of two rates."""
    names = ("success_rate", "first_success_rate")[: len(rates[0])]
    steps = tuple(START + at * HOUR for at in range(len(rates)))
    lines = tuple(
        Line((), dict(zip(names, values, strict=True)), at=at)
        for at, values in zip(steps, rates, strict=True)
    )
    return Figures(
        spec_of(Kind.LINE, *names), WEEK, "hour", lines, steps, measures=tuple(map(describe, names))
    )


def shapes(html: str, kind: str) -> list[str]:
    """The attributes of what is drawn in the plot by that class."""
    plot = html[html.index("<svg viewBox") : html.index("</svg>")]
    return re.findall(rf'<path class="{kind} (.*?)/>', plot)


# --- lines ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "y"), [(1.0, "0.00"), (0.0, "100.00"), (0.75, "50.00")])
def test_a_single_point_is_a_dot(rate: float, y: str) -> None:
    html = drawn(line_of((rate,)))
    assert shapes(html, "hub-point") == [f'hub-s1" d="M500.0 {y}h.01" stroke-width="8"']
    assert shapes(html, "hub-line") == []


def test_points_at_one_place_are_all_seen() -> None:
    html = drawn(line_of((None, None), (1.0, 1.0), (None, None), (1.0, 0.5)))
    assert shapes(html, "hub-point") == [
        'hub-s1" d="M375.0 0.00h.01" stroke-width="13"',
        'hub-s2" d="M375.0 0.00h.01" stroke-width="8"',
        'hub-s1" d="M875.0 0.00h.01" stroke-width="8"',
        'hub-s2" d="M875.0 100.00h.01" stroke-width="8"',
    ]


def test_a_point_beside_others_is_of_a_line() -> None:
    html = drawn(line_of((1.0,), (1.0,), (None,), (1.0,), (None,)))
    assert shapes(html, "hub-line") == ['hub-s1" d="M100.0 0.00L300.0 0.00"']
    assert shapes(html, "hub-point") == ['hub-s1" d="M700.0 0.00h.01" stroke-width="8"']


def test_a_legend_names_lines_by_a_piece_of_them_and_bars_by_their_colour() -> None:
    html = drawn(line_of((1.0, 1.0)))
    assert re.findall(r'd="M2 5H26"/></svg><span>(.*?)</span></li>', html) == [
        "Success rate", "Success at the first attempt",
    ]  # fmt: skip
    names = ("succeeded", "failed")
    stacked = Figures(
        spec_of(Kind.STACKED, *names), WEEK, "day",
        (Line((), dict.fromkeys(names, 1), at=START),), (START,),
        measures=tuple(map(describe, names)),
    )  # fmt: skip
    key = r'<span class="hub-key hub-s(\d)"></span>'
    assert re.findall(rf"<li>{key}<span>(.*?)<", drawn(stacked)) == [
        ("1", "Succeeded"), ("2", "Failed"),
    ]  # fmt: skip


def test_a_long_name_is_broken_behind_its_dots_and_lines() -> None:
    key = Key("event_type", "trial.will_end", "trial.will_end")
    found = Figures(
        spec_of(Kind.BAR, "attempts", dimensions=("event_type",)), WEEK, "",
        (Line((key,), {"attempts": 1}),), measures=(describe("attempts"),),
    )  # fmt: skip
    html = drawn(found)
    assert (
        '<span class="hub-bar-name" title="trial.will_end">trial.<wbr>will_<wbr>end</span>' in html
    )
    assert "<td>trial.<wbr>will_<wbr>end</td>" in html


# --- forecasts ------------------------------------------------------------------------------------


def forecast_of(*counts: int) -> Figures:
    rows = [Row(START + at * DAY, {}, {Measure.ATTEMPTS: count}) for at, count in enumerate(counts)]
    answered = Answer(rows, START, START + len(rows) * DAY)
    return forecast_figures(spec_of(Kind.FORECAST, "attempts"), WEEK, answered, ahead=2)


@pytest.mark.parametrize(
    ("counts", "there"), [((0, 0, 5), "is one"), ((0, 5, 0, 7), "are 3"), ((5,) * 6, "are 6")]
)
def test_where_there_is_no_forecast_it_is_said_why_and_none_is_named(
    counts: tuple[int, ...], there: str
) -> None:
    found = forecast_of(*counts)
    assert [series.name for series in found.series()] == ["Attempts"]
    assert found.grid().headers == ("From", "Attempts")
    html = drawn(found)
    assert re.findall('<p class="hub-note">(.*?)</p>', html) == [
        "There is no forecast yet: it takes 7 whole days from the first on which something was "
        f"counted; so far there {there}."
    ]
    assert "hub-legend" not in html
    assert "Expected" not in html


def test_with_days_enough_there_is_a_forecast_from_the_first_that_counts() -> None:
    found = forecast_of(0, 0, *([5] * MIN_DAYS))
    assert [series.name for series in found.series()] == [
        "Attempts", "Expected", "at least", "at most",
    ]  # fmt: skip
    assert found.steps == tuple(START + at * DAY for at in range(2, 2 + MIN_DAYS + 2))
    assert found.note == ""
    assert "hub-note" not in drawn(found)


@pytest.mark.parametrize(
    ("measure", "brings"),
    [
        ("attempts", "Add a subscription and publish an event of a type that it hears."),
        ("receipts", "Add a source, give its URL to the provider and send a sample."),
    ],
)
def test_a_forecast_of_nothing_says_what_it_takes(measure: str, brings: str) -> None:
    found = Figures(spec_of(Kind.FORECAST, measure), WEEK, "day", measures=(describe(measure),))
    assert drawn(found) == (
        '<p class="hub-empty" role="status">There is no forecast yet: it takes 7 whole days from '
        f"the first on which something was counted. {brings}</p>"
    )


# --- numbers --------------------------------------------------------------------------------------


def number_of(
    now: dict[str, float | None], before: dict[str, float | None] | None, *, compare: bool = True
) -> str:
    spec = spec_of(Kind.NUMBER, *now, compare=compare)
    measures = tuple(map(describe, now))
    return drawn(Figures(spec, WEEK, "", (Line((), now, before),), measures=measures))


def test_one_number_stands_alone_with_how_it_changed_and_both_as_bars() -> None:
    assert number_of({"failed": 30}, {"failed": 40}) == (
        '<div class="hub-numbers"><div><div class="hub-figure"><p class="hub-big">30</p>'
        '<p class="hub-change hub-good">▼ -25.0 % <span>before: 40</span></p>'
        '<div class="hub-beside-before" aria-hidden="true">'
        '<span>in this period</span><span class="hub-bar"><span style="width:75.00%"></span></span>'
        '<span>before</span><span class="hub-bar hub-was">'
        '<span style="width:100.00%"></span></span>'
        "</div></div></div></div>"
    )


def test_several_numbers_have_their_names() -> None:
    html = number_of({"attempts": 2, "success_rate": 0.5}, None, compare=False)
    assert html == (
        '<div class="hub-numbers"><div>'
        '<div class="hub-figure"><p class="hub-of">Attempts</p><p class="hub-big">2</p></div>'
        '<div class="hub-figure"><p class="hub-of">Success rate</p>'
        '<p class="hub-big">50 %</p></div>'
        "</div></div>"
    )


@pytest.mark.parametrize(
    ("before", "said"),
    [
        ({"attempts": 0}, '<p class="hub-change"><span>before: 0</span></p>'),
        ({"attempts": 5}, '<p class="hub-change">no change <span>before: 5</span></p>'),
        ({"attempts": None}, '<p class="hub-change"><span>nothing before</span></p>'),
    ],
)
def test_what_did_not_change_or_was_nothing_has_no_percentage(
    before: dict[str, float | None], said: str
) -> None:
    html = number_of({"attempts": 5}, before)
    assert re.findall("<p class=.hub-change.*?</p>", html) == [said]


def test_where_nothing_answered_that_is_said() -> None:
    found = Figures(
        spec_of(Kind.LINE, "response_p95_ms"), WEEK, "day", measures=(describe("response_p95_ms"),)
    )
    assert "No answer came in this period. Add a subscription" in drawn(found)
