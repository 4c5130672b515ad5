"""The ways of an operator through what the hub watches over, in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from monitoring.models import AlertRule, AuditEntry, Channel, Incident
from tests.console.browser.conftest import NARROW, WIDE
from tests.console.conftest import make_rows
from tests.factories import make_account, make_incident
from tests.monitoring.receivers import make_rule
from webhooks_project.admin.values import list_of, page_of

ATTACK = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"


def press(page: Page, title: str) -> None:
    """A button of a row's page, which asks first."""
    page.get_by_role("link", name=re.compile(f"{title}$")).click()
    page.get_by_role("button", name=title, exact=True).click()


def choose(page: Page, label: str, text: str) -> None:
    """In a select that looks its choices up, and offers the first of them."""
    page.locator(f".field-{label} .select2-selection").click()
    page.locator(".select2-results__option", has_text=text).click()


def test_an_incident_is_acknowledged_commented_and_resolved(page: Page) -> None:
    rule = make_rule(make_account())
    incident = make_incident(rule, title=f"Endpoint fails {ATTACK}", text=ATTACK)
    page.goto(list_of("monitoring.incident"))
    page.get_by_role("cell", name=re.compile("Endpoint fails")).wait_for()
    page.goto(page_of("monitoring.incident", incident.pk))
    press(page, "Acknowledge")
    expect(page.locator("body")).to_contain_text("It is acknowledged.")
    page.get_by_role("link", name=re.compile("Comment$")).click()
    page.get_by_label("Text").fill(f"Their certificate ended. {ATTACK}")
    page.get_by_role("button", name="Comment", exact=True).click()
    expect(page.get_by_role("table").last).to_contain_text("Their certificate ended.")
    page.get_by_role("link", name=re.compile("Resolve$")).click()
    page.get_by_label("Comment").fill("They renewed it.")
    page.get_by_role("button", name="Resolve", exact=True).click()
    expect(page.locator("body")).to_contain_text("It is resolved.")
    incident.refresh_from_db()
    assert (incident.status, incident.resolution) == ("resolved", Incident.Resolution.PERSON)
    kinds = incident.entries.order_by("created_at", "pk").values_list("kind", flat=True)
    assert list(kinds) == ["acknowledged", "commented", "resolved"]


def test_a_channel_is_made_and_a_bad_secret_is_said_at_its_field(page: Page) -> None:
    make_account(name="Example Shop")
    page.goto(list_of("monitoring.channel") + "add/")
    page.get_by_role("link", name=re.compile("Slack")).click()
    choose(page, "account", "Example Shop")
    page.get_by_label("Name").fill("On call")
    page.locator("[name=secret]").fill("http://127.0.0.1/no")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".field-secret, .form-row:has([name=secret])").first).to_contain_text(
        re.compile("hooks.slack.com|not")
    )
    assert not Channel.objects.exists()
    page.locator("[name=secret]").fill("https://hooks.slack.com/services/T000/B000/XXXXsecret")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("was added successfully")
    page.goto(page_of("monitoring.channel", Channel.objects.get().pk))
    expect(page.locator("body")).to_contain_text("It was not tested: press Test.")
    assert "XXXXsecret" not in page.content()


def test_a_rule_s_threshold_is_changed_and_who_did_it_is_in_the_audit_log(page: Page) -> None:
    rule = make_rule(make_account(), name="Endpoint fails often", threshold=50)
    page.goto(page_of("monitoring.alertrule", rule.pk))
    page.get_by_label(re.compile("^Threshold")).fill("25")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("was changed successfully")
    assert AlertRule.objects.get(pk=rule.pk).threshold == 25
    entry = AuditEntry.objects.get(object_id=str(rule.pk))
    page.goto(page_of("monitoring.auditentry", entry.pk))
    expect(page.locator("pre")).to_have_text(
        [re.compile(r'"threshold": 50\.0'), re.compile(r'"threshold": 25\.0')]
    )


def test_the_audit_log_is_exported_with_its_proof(page: Page, complaints: list[str]) -> None:
    account = make_account(name="Example Shop")
    rule = make_rule(account, threshold=50)
    page.goto(page_of("monitoring.alertrule", rule.pk))
    page.get_by_label("Name").fill("Other words")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("body")).to_contain_text("was changed successfully")
    page.goto(list_of("monitoring.auditentry"))
    page.get_by_role("link", name=re.compile("Export$")).click()
    page.get_by_label("Account").select_option(label="Example Shop")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export", exact=True).click()
    # The browser gives up the page that a download does not become.
    assert [line for line in complaints if "ERR_ABORTED" not in line] == []
    complaints.clear()
    text = download.value.path().read_text()
    assert "alert_rule.changed" in text
    assert str(AuditEntry.objects.get(object_id=str(rule.pk)).hash) in text


PAGES = (
    "incident", "alertrule", "channel", "notification", "healthcheck", "healthpolicy", "finding",
    "activity", "auditentry", "auditanchor",
)  # fmt: skip


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_page_is_wider_than_the_window(page: Page, width: int) -> None:
    rows = make_rows()
    page.set_viewport_size({"width": width, "height": 900})
    wide: list[str] = []
    for name in PAGES:
        for path in (
            list_of(f"monitoring.{name}"),
            page_of(f"monitoring.{name}", rows[f"monitoring.{name}"].pk),
        ):
            page.goto(path)
            expect(page.locator("#content, main").first).to_be_visible()
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wide.append(path)
    assert wide == []
    page.set_viewport_size({"width": WIDE, "height": 900})
