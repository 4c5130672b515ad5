"""The ways of an operator through the console of subscriptions and events, in a real browser."""

from __future__ import annotations

import orjson
from playwright.sync_api import Page, expect

from outgoing.models import Event
from outgoing.services import publish
from outgoing.setups import run_due_setups
from subscriptions.event_types import add_schema, create_event_type
from subscriptions.models import BulkJob, Subscription
from tests.console.browser.conftest import NARROW, WIDE
from tests.console.browser.test_incoming import press, shown
from tests.factories import make_account, make_subscription
from tests.lib.receiver import answer, receiver
from webhooks_project.admin.values import list_of, page_of


def test_a_subscription_is_made_and_set_up(page: Page) -> None:
    make_account(name="Example Shop")
    with receiver(answer()) as here:
        page.goto(list_of("subscriptions.subscription") + "add/")
        page.locator(".field-account .select2-selection").click()
        page.get_by_role("option", name="Example Shop").click()
        page.locator("[name=name]").fill("Orders")
        page.locator("[name=url]").fill(here.url)
        page.locator("[name=event_types]").fill("order.*")
        page.locator("[name=filter]").fill('{"data.amount": {"$gte": "x"')
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator("body")).to_contain_text("no JSON")

        page.locator("[name=filter]").fill('{"data.amount": {"$gte": 100}}')
        page.locator("[name=rate_limit]").fill("5")
        page.get_by_role("button", name="Save", exact=True).click()
        row = Subscription.objects.get()
        expect(page.locator("pre.hub-once")).to_contain_text(row.secrets.get().secret)
        run_due_setups()
    page.goto(page_of("subscriptions.subscription", row.pk))
    expect(shown(page, "Status")).to_contain_text("active")
    expect(page.locator("body")).to_contain_text("it answered 200")
    row.refresh_from_db()
    assert (row.filter, row.rate_limit) == ({"data.amount": {"$gte": 100}}, 5)
    press(page, "Pause")
    expect(shown(page, "Status")).to_contain_text("paused")


def test_an_event_says_why_it_went_to_nobody(page: Page) -> None:
    subscription = make_subscription(filter={"data.amount": {"$gte": 100}}, name="Large ones")
    event = publish(account=subscription.account, type="order.made", data={"amount": 5}).event
    page.goto(page_of("outgoing.event", event.pk))
    row = page.locator("tr", has_text="its filter").first
    expect(row).to_contain_text("Large ones")
    expect(row).to_contain_text("data.amount $gte 100: [5]")


def test_an_event_in_quarantine_is_released(page: Page) -> None:
    account = make_account()
    kept = create_event_type(account=account, name="order.made", schema_mode="quarantine")
    add_schema(event_type=kept, schema={"required": ["amount"]})
    make_subscription(account)
    event = publish(account=account, type="order.made", data={}).event
    page.goto(list_of("outgoing.event", quarantine="quarantined"))
    expect(page.locator("#result_list")).to_contain_text("order.made")
    page.goto(page_of("outgoing.event", event.pk))
    expect(page.locator("body")).to_contain_text('"amount" is a required property')
    press(page, "Release")
    expect(page.locator("body")).to_contain_text("It is released.")
    assert Event.objects.get(pk=event.pk).deliveries.count() == 1


def test_a_file_is_looked_at_first_and_then_imported(page: Page, tmp_path: object) -> None:
    make_account(name="Example Shop")
    page.goto(list_of("subscriptions.subscription"))
    page.get_by_role("link", name="Import").click()
    rows = [{"name": "Shop", "url": "http://127.0.0.1:9/", "event_types": ["order.*"]}]
    file = {"name": "shops.json", "mimeType": "application/json", "buffer": orjson.dumps(rows)}
    page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    if page.locator(".field-account .select2-selection").count():
        page.locator(".field-account .select2-selection").click()
        page.get_by_role("option", name="Example Shop").click()
    else:
        page.locator("[name=account]").select_option(label="Example Shop")
    page.locator("form button[type=submit]").last.click()
    page.wait_for_url("**/bulkjob/**")
    assert BulkJob.objects.count() == 1
    assert not Subscription.objects.exists()


def test_event_types_are_imported_from_a_file(page: Page) -> None:
    make_account(name="Example Shop")
    page.goto(list_of("subscriptions.eventtype"))
    page.get_by_role("link", name="Import").click()
    schema = {"title": "order.made", "type": "object", "properties": {"n": {"type": "integer"}}}
    file = {"name": "order.made.json", "mimeType": "application/json",
            "buffer": orjson.dumps(schema)}  # fmt: skip
    page.locator("input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    page.locator("[name=account]").select_option(label="Example Shop")
    page.locator("form button[type=submit]").last.click()
    expect(page.locator("body")).to_contain_text("order.made")
    expect(page.locator("body")).to_contain_text("created")


def test_its_pages_fit_both_widths(page: Page) -> None:
    row = make_subscription(
        name="A" * 200, labels={"a" * 60: "b" * 120}, url="http://x/" + "p" * 900
    )
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 900})
        for path in (
            page_of("subscriptions.subscription", row.pk),
            list_of("subscriptions.subscription"),
            list_of("subscriptions.bulkjob"),
            list_of("subscriptions.eventtype"),
        ):
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth")
            assert wide <= width, (path, wide, width)
    page.set_viewport_size({"width": WIDE, "height": 900})
