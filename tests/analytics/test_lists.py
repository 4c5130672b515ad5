"""Widgets of objectives, health, what is unused, and what is expected."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pypdf
import pytest
import time_machine

from analytics import tops
from analytics.asking import figures_of
from analytics.charts.html import drawn
from analytics.counting import count_marked
from analytics.defaults import DEFAULTS, INTEGRATION_HEALTH
from analytics.models import Objective, Rollup, Scope
from analytics.objectives import create_objective, statuses_of
from analytics.periods import Grain
from analytics.reports import csv_file, html, pdf, xlsx
from analytics.reports.content import Content
from analytics.shown import Figures
from analytics.spans import Period, named_period, own_period
from analytics.widgets import Kind, WidgetSpec, widget_problems
from incoming.models import Source
from outgoing.models import Delivery, Event
from subscriptions.models import EventType, Subscription
from tests.analytics.history import NOW, History, make_history
from tests.factories import (
    make_account,
    make_attempt,
    make_dashboard,
    make_delivery,
    make_event,
    make_subscription,
    make_widget,
)
from webhooks_project.accounts.models import Account
from webhooks_project.lib.ids import new_id

pytestmark = pytest.mark.django_db

LAST_DAY = Period(NOW - timedelta(days=1), NOW)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def frozen() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


def widget(kind: str, *measures: str, **fields: Any) -> WidgetSpec:
    return WidgetSpec(title="It", kind=kind, measures=measures, **fields)


def figures(spec: WidgetSpec, *accounts: Account, period: Period = LAST_DAY) -> Figures:
    ids = [account.pk for account in accounts] or None
    [found] = figures_of([spec], account_ids=ids, period=period)
    assert not found.problem
    return found


def texts(found: Figures) -> list[list[str]]:
    return [[cell.text for cell in row] for row in found.grid().rows]


# --- objectives -----------------------------------------------------------------------------------


def test_objectives_stand_with_the_most_endangered_first() -> None:
    history = make_history()
    create_objective(account=history.account, target_percent=Decimal(50))
    create_objective(
        account=history.account, subscription=history.bad, target_percent=Decimal(90), window_days=7
    )
    found = figures(widget(Kind.OBJECTIVES), history.account)
    assert found.grid().headers == (
        "Objective of", "Within", "Target", "Attained", "Error budget left", "Burn, 1 hour",
        "Burn, 1 day",
    )  # fmt: skip
    # Of the endpoint 30 of 55 attempts failed, and of both 30 of 110. The last hour, from half past
    # one on, has the attempts of two o'clock: 5 of 10, and 5 of 20.
    assert texts(found) == [
        ["Warehouse", "7 days", "90 %", "45.5 %", "-445.5 %", "5.00", "5.45"],
        ["all of the account", "30 days", "50 %", "72.7 %", "45.5 %", "0.50", "0.55"],
    ]
    assert "Warehouse" in drawn(found)
    assert len(figures(widget(Kind.OBJECTIVES, limit=1), history.account).lines) == 1
    # Another account's are not shown, and where there are several their names are.
    other = make_account(name="Other")
    assert figures(widget(Kind.OBJECTIVES), other).is_empty
    create_objective(account=other)
    names = [row[0] for row in texts(figures(widget(Kind.OBJECTIVES)))]
    assert names == [
        f"{history.account.name}: Warehouse", f"{history.account.name}: all of the account",
        "Other: all of the account",
    ]  # fmt: skip


def test_the_most_endangered_is_shown_however_new_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analytics.lists.MAX_ROWS", 2)
    history = make_history()
    for _ in range(4):
        create_objective(account=history.account, subscription=make_subscription(history.account))
    create_objective(
        account=history.account, subscription=history.bad, target_percent=Decimal(90), window_days=7
    )
    Objective.objects.filter(subscription=history.bad).update(created_at=NOW + DAY)
    found = figures(widget(Kind.OBJECTIVES, limit=1))
    assert [row[0] for row in texts(found)] == ["Warehouse"]
    assert len(figures(widget(Kind.OBJECTIVES, limit=4)).lines) == 4


def test_many_objectives_are_asked_for_together(django_assert_max_num_queries: Any) -> None:
    history = make_history()
    objectives = [
        create_objective(account=history.account, subscription=row)
        for row in (history.good, history.bad, make_subscription(history.account))
    ]
    alone = [statuses_of([objective], NOW)[0] for objective in objectives]
    with django_assert_max_num_queries(30):
        together = statuses_of(objectives, NOW)
    assert together == alone
    assert [(status.total, status.failed) for status in together] == [(55, 0), (55, 30), (0, 0)]


# --- health ---------------------------------------------------------------------------------------


def test_health_tells_state_last_success_and_trend() -> None:
    history = make_history()
    Subscription.objects.filter(pk=history.bad.pk).update(status="paused")
    Source.objects.filter(pk=history.source.pk).update(last_verified_at=NOW - timedelta(minutes=3))
    period = own_period(NOW.replace(hour=12, minute=0), NOW.replace(hour=14, minute=0))
    endpoints = figures(
        widget(Kind.HEALTH, dimensions=("subscription",)), history.account, period=period
    )
    assert endpoints.grid().headers == (
        "Endpoint", "State", "Last success", "Trend", "Attempts", "Success rate", "before",
        "Retries per delivery", "Whole attempt, p95",
    )  # fmt: skip
    found = {row[0]: row[1:7] for row in texts(endpoints)}
    assert found == {
        "Billing": ["active", "2026-03-12 14:09", "rising", "17", "100 %", "100 %"],
        "Warehouse": ["paused", "2026-03-12 14:09", "rising", "17", "47.1 %", "46.2 %"],
    }
    sources = figures(widget(Kind.HEALTH, dimensions=("source",)), history.account, period=period)
    assert [row[:7] for row in texts(sources)] == [
        ["Shop", "enabled", "2026-03-12 14:27", "rising", "17", "88.2 %", "84.6 %"]
    ]
    assert str(history.good.pk) in drawn(endpoints, lambda cell: cell.key.value if cell.key else "")
    values = csv_file.make(content(endpoints)).decode("utf-8-sig")
    assert f"{history.bad.pk} / paused / rising / 2026-03-12T14:09:00+00:00" in values


def test_the_health_report_has_state_last_success_and_trend(
    django_assert_max_num_queries: Any,
) -> None:
    kinds = {spec.key: spec.kind for spec in INTEGRATION_HEALTH.widgets}
    assert (kinds["subscriptions"], kinds["sources"]) == (Kind.HEALTH, Kind.HEALTH)
    history = make_history()
    found = figures_of(
        INTEGRATION_HEALTH.widgets, account_ids=[history.account.pk], period=LAST_DAY
    )
    page = html.make(content(*found)).decode()
    for text in ("Last success", "Trend", "State", "2026-03-12 14:09"):
        assert text in page


# --- unused ---------------------------------------------------------------------------------------


def test_unused_types_and_subscriptions_are_told() -> None:
    account = make_account()
    for name in ("invoice.paid", "invoice.void", "just.made"):
        EventType.objects.create(account=account, name=name)
    for name in ("Idle", "Fresh"):
        make_subscription(account, name=name, status="active")
    make_subscription(account, name="Paused", status="paused")
    for model, young in ((EventType, "just.made"), (Subscription, "Fresh")):
        model.objects.exclude(name=young).update(created_at=NOW - 9 * DAY)
    make_event(account, type="invoice.paid", created_at=NOW - timedelta(hours=2))
    found = figures(widget(Kind.UNUSED), account)
    assert found.grid().headers == ("What", "Name", "Days that it has been there")
    assert texts(found) == [["Event type", "invoice.void", "9"], ["Subscription", "Idle", "9"]]
    assert figures(widget(Kind.UNUSED), make_account()).is_empty
    assert "None: every event type" in drawn(figures(widget(Kind.UNUSED), make_account()))


def test_what_was_used_within_the_edges_of_the_period_alone_was_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tops, "_TOGETHER", 2)
    account = make_account()
    used = (
        ("first", NOW - 3 * DAY), ("within", NOW - 2 * DAY), ("last", NOW - timedelta(minutes=1)),
        ("before", NOW - 3 * DAY - timedelta(minutes=1)), ("never", None), ("after", NOW),
    )  # fmt: skip
    for name, at in used:
        row = make_subscription(account, name=name, status="active")
        if at is not None:
            make_attempt(make_delivery(make_event(account), row), started_at=at)
    Subscription.objects.update(created_at=NOW - 9 * DAY)
    EventType.objects.all().delete()
    count_marked()
    period = Period(NOW - 3 * DAY, NOW)
    found = figures(widget(Kind.UNUSED), account, period=period)
    assert {row[1] for row in texts(found)} == {"before", "never", "after"}
    assert len(texts(figures(widget(Kind.UNUSED, limit=2), account, period=period))) == 2


def test_a_type_of_which_the_events_are_pruned_was_used_if_attempts_of_it_were_counted() -> None:
    account, other = make_account(), make_account()
    used = (
        ("first", NOW - 30 * DAY), ("within", NOW - 20 * DAY), ("last", NOW - timedelta(minutes=1)),
        ("before", NOW - 30 * DAY - timedelta(minutes=1)), ("after", NOW), ("never", None),
    )  # fmt: skip
    row = make_subscription(account, status="active")
    elsewhere = make_subscription(other, status="active")
    make_attempt(
        make_delivery(make_event(other, type="never"), elsewhere), started_at=NOW - 20 * DAY
    )
    for name, at in used:
        if at is not None:
            make_attempt(make_delivery(make_event(account, type=name), row), started_at=at)
    count_marked()
    Delivery.objects.all().delete()
    Event.objects.all().delete()
    EventType.objects.all().delete()
    for name, _ in used:
        EventType.objects.create(account=account, name=name)
    EventType.objects.update(created_at=NOW - 90 * DAY)
    for account_ids in ([account.pk], None):
        found = tops.top(
            tops.Top.UNUSED_TYPES, account_ids=account_ids, since=NOW - 30 * DAY, until=NOW
        )
        assert {item.name for item in found} == {"before", "after", "never"}


def test_a_list_that_cannot_be_answered_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    account = make_account()
    for _ in range(2):
        row = make_subscription(account, status="active")
        make_attempt(make_delivery(make_event(account), row), started_at=NOW - timedelta(hours=1))
    Subscription.objects.update(created_at=NOW - 9 * DAY)
    count_marked()
    monkeypatch.setattr("analytics.answering.MAX_ROWS", 1)
    [found] = figures_of([widget(Kind.UNUSED)], account_ids=None, period=LAST_DAY)
    assert found.problem
    assert found.problem in drawn(found)


# --- forecast -------------------------------------------------------------------------------------


def counted_days(history: History, zone_hours: int, counts: list[int]) -> None:
    """The days before today with so many attempts, the last one yesterday."""
    Rollup.objects.all().delete()
    midnight = NOW.replace(hour=0, minute=0) - timedelta(hours=zone_hours)
    for at, count in enumerate(reversed(counts), 1):
        for grain, start in (
            (Grain.HOUR, midnight - at * DAY),
            (Grain.DAY, (midnight - at * DAY).replace(hour=0)),
        ):
            Rollup.objects.create(
                id=new_id(), scope=Scope.ACCOUNT, grain=grain, at=start, account=history.account,
                status_class="2xx", attempts=count,
            )  # fmt: skip


def test_a_forecast_goes_on_from_the_days_that_were() -> None:
    history = make_history()
    counted_days(history, 0, [100] * 28)
    spec = widget(Kind.FORECAST, "attempts")
    for period in (named_period("1y", now=NOW), named_period("1h", now=NOW)):
        found = figures(spec, history.account, period=period)
        assert found.step == "day"
        lines = {line.at: line.values for line in found.lines if line.at}
        midnight = NOW.replace(hour=0, minute=0)
        assert lines[midnight - DAY] == {
            "attempts": 100, "expected": None, "expected_low": None, "expected_high": None,
        }  # fmt: skip
        assert lines[midnight]["attempts"] is None
        assert lines[midnight]["expected"] == pytest.approx(100)
        assert [at for at, values in lines.items() if values["expected"] is not None] == [
            midnight + number * DAY for number in range(14)
        ]
        assert len(lines) == 28 + 14  # none before the first on which something was counted
    names = [series.name for series in found.series()]
    assert names == ["Attempts", "Expected", "at least", "at most"]


def test_a_forecast_is_by_the_days_of_the_time_zone_and_of_the_period_that_is_reported() -> None:
    history = make_history()
    counted_days(history, 1, [7] * 28)
    spec = widget(Kind.FORECAST, "attempts")
    last_week = own_period(NOW - 14 * DAY, NOW - 7 * DAY, time_zone="Europe/Berlin")
    found = figures(spec, history.account, period=last_week)
    first = next(line.at for line in found.lines if line.values["expected"] is not None)
    assert first == datetime(2026, 3, 4, 23, tzinfo=UTC)  # midnight in Berlin
    assert {line.values["attempts"] for line in found.lines if line.at and line.at < first} >= {7}


def test_a_forecast_is_drawn_in_every_form() -> None:
    history = make_history()
    counted_days(history, 0, [100] * 28)
    found = figures(widget(Kind.FORECAST, "attempts"), history.account)
    page = html.make(content(found)).decode()
    assert "2026-03-11" in page  # yesterday
    assert "100 / 100 / 100" in page  # a day to come, with its bounds
    assert "hub-line" in drawn(found)
    assert pdf.make(content(found)).startswith(b"%PDF")
    assert xlsx.make(content(found)).startswith(b"PK")


def test_reports_say_in_words_that_there_is_no_forecast_yet() -> None:
    history = make_history()
    counted_days(history, 0, [100] * 3)
    found = content(figures(widget(Kind.FORECAST, "attempts"), history.account))
    said = (
        "There is no forecast yet: it takes 7 whole days from the first on which something was "
        "counted; so far there are 3."
    )
    page = html.make(found).decode()
    assert said in page
    assert "at least" not in page
    [sheet] = pypdf.PdfReader(io.BytesIO(pdf.make(found))).pages
    written = " ".join(sheet.extract_text().split())
    assert said in written
    assert "at least" not in written


def test_of_the_figures_in_a_pdf_nothing_is_cut() -> None:
    history = make_history()
    measures = (
        "attempts", "success_rate", "response_p95_ms", "first_succeeded", "retries_per_delivery",
        "request_bytes",
    )  # fmt: skip
    found = figures(widget(Kind.NUMBER, *measures, compare=True), history.account)
    [sheet] = pypdf.PdfReader(io.BytesIO(pdf.make(content(found)))).pages
    written = sheet.extract_text()
    assert "..." not in written
    assert [label for label in LABELS if label not in written] == []


def test_without_days_there_is_no_forecast() -> None:
    assert figures(widget(Kind.FORECAST, "receipts"), make_account()).is_empty


LABELS = (
    "Attempts", "Success rate", "Response, p95", "Succeeded at the first attempt",
    "Retries per delivery", "Bytes sent",
)  # fmt: skip


def content(*found: Figures) -> Content:
    return Content("Report", "Acme", "", LAST_DAY, found)


# --- what is acceptable, and where they are -------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        ("", {"kind": "objectives"}),
        ("", {"kind": "unused"}),
        ("", {"kind": "health", "dimensions": ["source"]}),
        ("", {"kind": "forecast", "measures": ["receipts"]}),
        ("required", {"kind": "health"}),
        ("required", {"kind": "health", "dimensions": ["cause"]}),
        ("not_a_volume", {"kind": "forecast"}),
        ("not_a_volume", {"kind": "forecast", "measures": ["success_rate"]}),
        ("not_a_volume", {"kind": "forecast", "measures": ["attempts", "failed"]}),
        ("needs_days", {"kind": "forecast", "measures": ["attempts"], "granularity": "hour"}),
        ("needs_time", {"kind": "forecast", "measures": ["attempts"], "granularity": "none"}),
        ("too_many", {"kind": "forecast", "measures": ["attempts"], "dimensions": ["cause"]}),
        ("too_many", {"kind": "unused", "dimensions": ["cause"]}),
    ],
)
def test_what_such_a_widget_may_be(code: str, fields: dict[str, Any]) -> None:
    row = make_widget(make_dashboard(), **{"measures": [], "dimensions": []} | fields)
    assert [problem.code for problem in widget_problems(row)] == ([code] if code else [])


def test_the_default_dashboards_have_them() -> None:
    count_marked()
    found = {key: {spec.kind for spec in board.widgets} for key, board in DEFAULTS.items()}
    assert {Kind.OBJECTIVES, Kind.FORECAST} <= found["overview"]
    assert Kind.UNUSED in found["endpoints"]
    assert "noisiest" in {spec.key for spec in DEFAULTS["incoming"].widgets}
