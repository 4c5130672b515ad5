"""The way of an operator through objectives, in a real browser."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils.timezone import now
from playwright.sync_api import Locator, Page, expect

from analytics.counting import count_marked
from analytics.models import Objective
from analytics.objectives import create_objective
from subscriptions.models import Subscription
from tests.console.browser.conftest import NARROW, WIDE
from tests.factories import make_account, make_attempt, make_delivery, make_subscription
from webhooks_project.admin.values import list_of, page_of


@pytest.fixture
def subscription(page: Page) -> Subscription:
    """Two hours ago 19 of 20 attempts to it succeeded."""
    made = make_subscription(make_account(name="Example Shop"), name="Billing")
    delivery = make_delivery(subscription=made)
    for number in range(1, 21):
        failing = {"cause": "dns", "outcome": "failed", "status_code": None} if number == 7 else {}
        make_attempt(delivery, started_at=now() - timedelta(hours=2), **failing)
    count_marked()
    return made


def choose(page: Page, field: str, name: str) -> None:
    page.locator(f".field-{field} .select2-selection").click()
    page.get_by_role("option", name=name).click()


def figure(page: Page, name: str) -> Locator:
    return page.get_by_role("row", name=name)


def test_an_objective_is_made_looked_at_and_changed(page: Page, subscription: Subscription) -> None:
    page.goto(list_of("analytics.objective") + "add/")
    choose(page, "account", "Example Shop")
    choose(page, "subscription", "Billing")
    page.get_by_label("Target percent").fill("90")
    page.get_by_label("Window days").fill("7")
    page.get_by_role("button", name="Save and continue editing").click()

    expect(page.get_by_role("heading", name="The last 7 days")).to_be_visible()
    expect(figure(page, "Attained")).to_contain_text("95 %")
    expect(figure(page, "Target")).to_contain_text("90 %")
    expect(figure(page, "Attempts")).to_contain_text("20")
    expect(figure(page, "Failed")).to_contain_text("1 of 2.0 that it leaves room for")
    expect(figure(page, "Error budget left")).to_contain_text("50 %")
    expect(figure(page, "Burn rate, last 6 hours")).to_contain_text("0.50")

    expect(page.get_by_label("Target percent")).to_have_value("90")
    page.get_by_label("Target percent").fill("99")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(figure(page, "Target")).to_contain_text("99 %")
    expect(figure(page, "Error budget left")).to_contain_text("-400 %")
    kept = Objective.objects.get()
    assert (kept.subscription, kept.target_percent, kept.window_days) == (subscription, 99, 7)


def test_the_list_shows_how_each_stands_on_one_screen(
    page: Page, subscription: Subscription
) -> None:
    create_objective(
        account=subscription.account, subscription=subscription, target_percent=Decimal(90)
    )
    make_long = make_subscription(subscription.account, name="Warehouse management (production)")
    create_objective(account=subscription.account, subscription=make_long)
    page.goto(list_of("analytics.objective"))
    row = page.get_by_role("row", name="90 % in 30 days")
    expect(row.locator(".field-state")).to_have_text("met")
    expect(row.locator(".field-attained")).to_have_text("95 %")
    expect(row.locator(".field-budget_left")).to_have_text("50 %")
    expect(page.get_by_title("Warehouse management (production)")).to_be_visible()
    room = page.locator("#result_list").evaluate(
        "table => table.getBoundingClientRect().right - document.documentElement.clientWidth"
    )
    assert room <= 0


def test_its_pages_fit_a_narrow_screen(page: Page, subscription: Subscription) -> None:
    objective = create_objective(account=subscription.account, subscription=subscription)
    page.set_viewport_size({"width": NARROW, "height": 844})
    try:
        for path in (
            list_of("analytics.objective"),
            list_of("analytics.objective") + "add/",
            page_of("analytics.objective", objective.pk),
        ):
            page.goto(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= NARROW, path
    finally:
        page.set_viewport_size({"width": WIDE, "height": 900})
