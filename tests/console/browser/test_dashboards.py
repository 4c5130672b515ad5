"""The ways of a developer through dashboards and reports, in a real browser."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.urls import reverse
from django.utils.timezone import now
from playwright.sync_api import Locator, Page, expect

from analytics.admin.boards import board_of
from analytics.models import Dashboard, Report
from analytics.reports.runs import run_due_reports
from analytics.reports.services import request_run
from tests.analytics.history import make_history
from tests.console.browser.conftest import NARROW, WIDE
from tests.factories import make_account, make_dashboard, make_report, make_widget
from webhooks_project.admin.values import list_of, page_of

CUT = (
    "spans => spans.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.innerText)"
)
SEEN = """css => {
    const {x, y, width, height} = document.querySelector(css).getBoundingClientRect();
    return document.elementFromPoint(x + width / 2, y + height / 2)?.closest(css) !== null;
}"""


@pytest.fixture
def board(page: Page) -> Dashboard:
    return make_dashboard(make_history().account, name="Ours")


def titles(page: Page) -> list[str]:
    return page.locator(".hub-widget h3").all_inner_texts()


def widget_of(page: Page, title: str) -> Locator:
    return page.locator(".hub-widget", has=page.get_by_text(title, exact=True))


def kept(board: Dashboard) -> list[tuple[str, int, int]]:
    return [(row.title, row.width, row.height) for row in board.widgets.all()]


def test_a_default_dashboard_is_seen_copied_and_changed(page: Page) -> None:
    make_account(name="Example Shop")
    page.goto(list_of("analytics.dashboard"))
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#widget-volume")).to_contain_text("Add a subscription and publish")
    page.get_by_role("link", name="30 days").click()
    expect(page.get_by_role("link", name="30 days")).to_have_attribute("aria-current", "true")

    page.get_by_role("button", name="Copy it to change it").click()
    expect(page.locator("body")).to_contain_text("Overview (copy) is yours to change")

    page.get_by_role("link", name="Add a widget").click()
    page.get_by_label("Title").fill("Bytes a day")
    page.get_by_label("Shown as").select_option("bar")
    expect(page.locator("#preview")).to_contain_text("needs at least one measure")
    page.get_by_label("Bytes sent").check()
    expect(page.locator("#preview")).to_contain_text("Bytes a day")
    page.get_by_role("button", name="Save").click()

    expect(page.locator("body")).to_contain_text("Bytes a day is on the dashboard")
    assert Dashboard.objects.get().widgets.last().title == "Bytes a day"  # type: ignore[union-attr]


def test_the_editor_shows_the_figures_that_then_stand_on_the_dashboard(page: Page) -> None:
    made = make_history(now=(now() - timedelta(hours=1)).replace(second=0, microsecond=0))
    board = make_dashboard(made.account, name="Ours")
    page.goto(board_of(board))
    page.get_by_role("link", name="Add a widget").click()
    page.get_by_label("Title").fill("What fails")
    page.get_by_label("Shown as").select_option("table")
    page.get_by_label("Attempts", exact=True).check()
    page.get_by_label("Failed", exact=True).check()
    page.get_by_label("Told apart by").select_option("subscription")
    preview = page.locator("#preview")
    expect(preview.get_by_role("row", name="Billing 55 0")).to_be_visible()
    expect(preview.get_by_role("row", name="Warehouse 55 30")).to_be_visible()
    page.locator("summary", has_text="Filters").click()
    page.get_by_label("Warehouse").check()
    expect(preview.get_by_role("row", name="Billing")).to_have_count(0)
    assert board.widgets.count() == 2  # a preview keeps nothing
    page.get_by_role("button", name="Save").click()

    expect(page.locator("body")).to_contain_text("What fails is on the dashboard")
    widget = page.locator(".hub-widget", has_text="What fails")
    expect(widget.get_by_role("row", name="Warehouse 55 30")).to_be_visible()
    assert titles(page) == ["Attempts", "Over time", "What fails"]
    kept = board.widgets.get(title="What fails")
    assert (kept.kind, kept.measures, kept.dimensions, kept.filters) == (
        "table", ["attempts", "failed"], ["subscription"], {"subscription": [str(made.bad.pk)]},
    )  # fmt: skip


def test_on_a_phone_the_preview_stays_in_sight_above_the_form(page: Page, board: Dashboard) -> None:
    page.set_viewport_size({"width": NARROW, "height": 844})
    try:
        page.goto(reverse("admin:analytics_dashboard_add_widget", args=[board.pk]))
        preview = page.locator("#preview")
        page.get_by_label("Title").fill("Bytes a day")
        page.get_by_label("Shown as").select_option("bar")
        page.get_by_label("Bytes sent").check()
        expect(preview).to_contain_text("Bytes a day")
        page.get_by_role("link", name="Back").scroll_into_view_if_needed()
        page.get_by_label("Height").select_option("3")
        above = page.locator(".hub-preview").bounding_box()
        assert above is not None
        assert above["y"] >= 0
        assert above["y"] + above["height"] <= 844 / 2
        assert page.evaluate(SEEN, "#preview h3")
        page.locator("summary", has_text="Preview").click()
        expect(preview).to_be_hidden()
    finally:
        page.set_viewport_size({"width": WIDE, "height": 900})


def test_labels_of_the_editor_are_read_whole(page: Page, board: Dashboard) -> None:
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(reverse("admin:analytics_dashboard_add_widget", args=[board.pk]))
        expect(page.get_by_label("Succeeded at the first attempt")).to_be_visible()
        cut = page.locator("#id_measures label > span").evaluate_all(CUT)
        assert cut == []
    page.set_viewport_size({"width": WIDE, "height": 900})


def test_a_single_point_at_the_top_is_seen_whole(page: Page) -> None:
    made = make_history(hours=1, now=now() - timedelta(hours=2))
    board = Dashboard.objects.get(pk=make_dashboard(made.account, name="Ours").pk)
    good = {"subscription": [str(made.good.pk)]}
    make_widget(board, title="Well", kind="line", measures=["success_rate"], filters=good)
    page.goto(board_of(board))
    dot = page.locator(".hub-widget", has_text="Well").locator("path.hub-point")
    expect(dot).to_have_count(1)
    assert dot.evaluate(
        """dot => {
            dot.scrollIntoView({block: "center"});
            const {x, y} = dot.getBoundingClientRect();
            return [[0, -3], [0, 3], [-3, 0], [3, 0], [0, -6]].map(([right, down]) =>
                document.elementsFromPoint(x + right, y + down).includes(dot));
        }"""
    ) == [True, True, True, True, False]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_numbers_are_as_large_as_their_widget_has_room_for(page: Page, width: int) -> None:
    made = make_history(now=(now() - timedelta(hours=1)).replace(second=0, microsecond=0))
    board = make_dashboard(made.account, name="Ours")
    measures = ["attempts", "success_rate", "response_p95_ms", "first_succeeded"]
    for wide, counted in ((1, measures[:1]), (1, measures), (4, measures[:1]), (4, measures)):
        make_widget(
            board, title=f"{wide} of {len(counted)}", measures=counted, compare=True, width=wide,
            height=1, position=9,
        )  # fmt: skip
    page.set_viewport_size({"width": width, "height": 900})
    try:
        page.goto(board_of(board))
        figures = page.locator(".hub-figure p")
        expect(figures.first).to_be_visible()
        assert figures.evaluate_all(CUT) == []
        sizes = {
            title: widget_of(page, title)
            .locator(".hub-big")
            .first.evaluate("text => parseFloat(getComputedStyle(text).fontSize)")
            for title in ("1 of 1", "1 of 4", "4 of 1", "4 of 4")
        }
    finally:
        page.set_viewport_size({"width": WIDE, "height": 900})
    assert sizes["1 of 1"] >= sizes["1 of 4"]
    assert sizes["4 of 1"] > sizes["4 of 4"] == 28
    wide = widget_of(page, "4 of 1")
    bars = wide.locator(".hub-beside-before").bounding_box()
    card = wide.bounding_box()
    assert bars is not None
    assert card is not None
    assert bars["width"] > card["width"] / 2


def test_a_report_fits_a_narrow_screen(page: Page) -> None:
    made = make_history(now=now() - timedelta(days=1))
    report = make_report(made.account, subject="integration_health", formats=["html"])
    run = request_run(report=report)
    run_due_reports()
    text = bytes(run.files.get().content).decode()
    page.set_viewport_size({"width": NARROW, "height": 844})
    try:
        page.set_content(text)
        assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
        assert page.get_by_text("Success at the first attempt", exact=True).is_visible()
    finally:
        page.set_viewport_size({"width": WIDE, "height": 900})


def test_charts_have_their_figures_as_tables(page: Page, board: Dashboard) -> None:
    page.goto(f"{board_of(board)}?since=2026-03-12T00:00&until=2026-03-13T00:00")
    line = page.locator(".hub-widget", has_text="Over time")
    expect(line.locator("svg path.hub-line")).to_have_count(1)
    line.get_by_text("Figures as a table").click()
    expect(line.get_by_role("table")).to_contain_text("2026-03-12 14:00")
    expect(line.get_by_role("row", name="2026-03-12 14:00 20")).to_be_visible()


def test_figures_are_fetched_anew_in_place(page: Page, board: Dashboard) -> None:
    page.goto(board_of(board))
    page.evaluate("window.here = true")
    page.get_by_role("link", name="Refresh").click()
    expect(page.locator("#said")).to_have_text("The figures are fresh.")
    assert page.evaluate("window.here") is True
    assert titles(page) == ["Attempts", "Over time"]


def test_widgets_are_arranged_with_the_keyboard(page: Page, board: Dashboard) -> None:
    page.goto(f"{board_of(board)}?arrange")
    later = page.get_by_role("button", name="Later: Attempts")
    later.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#said")).to_have_text("The order is kept.")
    expect(later).to_be_focused()
    assert titles(page) == ["Over time", "Attempts"]
    with page.expect_response(re.compile("/arrange/")):
        page.get_by_role("button", name="Wider: Attempts").click()
    with page.expect_response(re.compile("/arrange/")):
        page.get_by_role("button", name="Taller: Attempts").click()
    assert kept(board) == [("Over time", 2, 2), ("Attempts", 3, 3)]


def test_widgets_are_arranged_by_dragging(page: Page, board: Dashboard) -> None:
    page.goto(f"{board_of(board)}?arrange")
    handles = page.locator(".hub-handle")
    expect(handles).to_have_count(2)
    start, end = handles.nth(0).bounding_box(), handles.nth(1).bounding_box()
    assert start is not None
    assert end is not None
    page.mouse.move(start["x"] + 8, start["y"] + 8)
    page.mouse.down()
    page.mouse.move(end["x"] - 40, end["y"] + 20, steps=12)
    page.mouse.move(end["x"] + 250, end["y"] + 30, steps=12)
    with page.expect_response(re.compile("/arrange/")):
        page.mouse.up()
    expect(page.locator("#said")).to_have_text("The order is kept.")
    assert [row[0] for row in kept(board)] == titles(page) == ["Over time", "Attempts"]


def test_a_report_is_made_and_fetched(page: Page, tmp_path: Path) -> None:
    make_report(name="Health", formats=["html", "csv", "xlsx", "pdf"])
    page.goto(page_of("analytics.report", Report.objects.get().pk))
    page.get_by_role("link", name=re.compile("Make it now$")).click()
    page.get_by_role("button", name="Make it now", exact=True).click()
    expect(page.locator("body")).to_contain_text("It is being made")
    run_due_reports()
    page.reload()
    with page.expect_download() as fetched:
        page.get_by_role("link", name="PDF").click()
    fetched.value.save_as(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_a_dashboard_becomes_a_report(page: Page, board: Dashboard) -> None:
    page.goto(board_of(board))
    page.get_by_role("link", name="Send it as a report").click()
    expect(page.get_by_label("Name")).to_have_value("Ours")
    page.get_by_label("Recipients").fill("ann@example.com")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("was added successfully")
    assert Report.objects.get().dashboard == board


def test_pages_fit_a_narrow_screen(page: Page, board: Dashboard) -> None:
    page.set_viewport_size({"width": NARROW, "height": 844})
    try:
        for path in (
            list_of("analytics.dashboard"),
            board_of(board),
            f"{board_of(board)}?arrange",
            *(
                reverse("admin:analytics_dashboard_default_board", args=[key])
                for key in ("overview", "endpoints", "incoming")
            ),
            reverse("admin:analytics_dashboard_add_widget", args=[board.pk]),
            f"{list_of('analytics.report')}add/",
        ):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW, path
    finally:
        page.set_viewport_size({"width": WIDE, "height": 900})
