"""The ways of an operator through the console of what comes in, in a real browser."""

from __future__ import annotations

import re
from datetime import timedelta

import orjson
import pytest
from playwright.sync_api import Locator, Page, expect

from incoming.models import Receipt, ReceiptReplay, Route, Source
from incoming.processing import process_due_receipts
from incoming.replays import advance_replays
from outgoing.models import Event
from tests.console.browser.conftest import NARROW, WIDE
from tests.console.conftest import make_rows
from tests.factories import make_account, make_receipt, make_source
from webhooks_project.accounts.models import User
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock

# One browser for all: they run one after another, in one process.

ATTACK = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>"


def path_of(source: Source, name: str = "change") -> str:
    return page_of("incoming.source", source.pk).replace("/change/", f"/{name}/")


def open_source(page: Page, source: Source) -> None:
    page.goto(path_of(source))


def send_sample(page: Page, type_: str = "", body: str = "") -> None:
    """From the source's page; ends at the answer."""
    page.get_by_role("link", name="Send a sample").click()
    page.get_by_label("Type").fill(type_)
    page.get_by_label("Body").fill(body)
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#answer")).to_contain_text("The door's answer")


def press(page: Page, title: str) -> None:
    """A button of a row's page, which asks first."""
    page.get_by_role("link", name=re.compile(f"{title}$")).click()
    page.get_by_role("button", name=title, exact=True).click()


def shown(page: Page, label: str) -> Locator:
    """What the page of a row says at a label."""
    line = page.locator(".field-line", has=page.get_by_text(label, exact=True))
    return line.locator(".readonly")


def test_what_a_page_complains_of_is_heard(stranger: Page, complaints: list[str]) -> None:
    stranger.goto("/admin/login/")
    where = stranger.url

    stranger.evaluate("console.warn('look at this')")
    stranger.evaluate("fetch('/admin/').then((answer) => answer.text())")
    stranger.evaluate("fetch('http://127.0.0.1:9/').catch(() => null)")

    assert complaints[:2] == [
        f"{where}: warning: look at this",
        f"{where}: asked http://127.0.0.1:9/",
    ]
    complaints.clear()


def test_an_operator_logs_in(stranger: Page, operator: User) -> None:
    stranger.goto("/admin/")
    stranger.get_by_label("Username").fill(operator.username)
    stranger.get_by_label("Password").fill("wrong")
    stranger.get_by_role("button", name="Log in").click()
    expect(stranger.locator("body")).to_contain_text("Please enter the correct username")

    stranger.get_by_label("Username").fill(operator.username)
    stranger.get_by_label("Password").fill("pw")
    stranger.get_by_role("button", name="Log in").click()

    expect(stranger.locator("body")).to_contain_text("Receipts, last 24 hours")


def test_a_source_is_made_for_a_provider(page: Page) -> None:
    make_account(name="Example Shop")
    page.goto(list_of("incoming.source"))
    page.get_by_role("link", name="Add source").click()
    page.get_by_label("Part of the name").fill("githu")
    expect(page.locator("#providers > li:visible")).to_have_count(1)
    page.get_by_role("link", name="GitHub").click()
    expect(page.locator("dl.hub-facts")).to_contain_text("x-hub-signature-256")

    page.locator(".field-account .select2-selection").click()
    page.get_by_role("option", name="Example Shop").click()
    page.get_by_label("Name").fill("Our repositories")
    page.get_by_role("button", name="Save").click()

    expect(page.locator("body")).to_contain_text("Our repositories takes calls now")
    source = Source.objects.get()
    assert (source.name, source.provider, source.account.name) == (
        "Our repositories", "github", "Example Shop",
    )  # fmt: skip
    assert page.locator("pre.hub-once").all_inner_texts() == [
        f"{page.url.partition('/admin/')[0]}/in/{source.token}",
        source.secrets.get().secret,
    ]
    page.get_by_role("link", name="I have copied it").click()
    expect(page.locator("dl.hub-facts")).to_contain_text("x-hub-signature-256")
    expect(page.locator("body")).not_to_contain_text(source.secrets.get().secret)


def test_a_sample_is_found_among_the_receipts(page: Page) -> None:
    source = make_source(name="Shop")
    open_source(page, source)
    send_sample(page, "issues", '{"amount": 7}')
    expect(page.locator("#answer")).to_contain_text("200")

    page.get_by_role("link", name="Receipts").click()
    row = page.locator("#result_list tbody tr")
    expect(row).to_have_count(1)
    expect(row.locator(".field-status_and_marks")).to_have_text("accepted")
    expect(row.locator(".field-type_text")).to_have_text("issues")
    row.locator("th a").click()

    receipt = Receipt.objects.get()
    expect(page).to_have_url(re.compile(re.escape(page_of("incoming.receipt", receipt.pk))))
    expect(page.locator("h1")).to_contain_text(f"issues {receipt.pk}")
    expect(page.locator("pre").nth(-1)).to_have_text('{\n  "amount": 7\n}')
    expect(page.locator("body")).to_contain_text("x-hub-signature-256: [redacted]")


@pytest.mark.parametrize(
    ("title", "fields", "answer"),
    [
        ("Signature", {"Headers": "x-hub-signature-256: sha256=00"}, "signature_mismatch"),
        ("Payload", {"Schema": '{"required": ["id"]}'}, '"id" is a required property'),
        ("Filter", {"Condition": '{"data.amount": {"$gte": 5}}'}, "matches"),
        ("Transformation", {"Expression": '{"twice": amount * 2}'}, '"twice": 14'),
        ("Routes", {"Headers": "x-github-event: push"}, "github.push"),
    ],
)
def test_a_trial_answers(page: Page, title: str, fields: dict[str, str], answer: str) -> None:
    source = make_source(schema={"type": "object"})
    open_source(page, source)
    page.get_by_role("link", name=title, exact=True).click()
    for label, text in {**fields, "Body": '{"amount": 7}'}.items():
        page.get_by_label(label).fill(text)

    page.get_by_role("button", name="Try").click()

    expect(page.locator("#answer")).to_contain_text(answer)
    assert not Receipt.objects.exists()


def test_a_route_makes_an_event(page: Page) -> None:
    source = make_source(routes=())
    open_source(page, source)
    page.get_by_role("link", name="Add another Route").click()
    route = page.locator("#routes-group .form-group:visible")
    action = route.get_by_label("Action")
    expect(route.get_by_label("Type of the event")).to_be_visible()
    action.select_option("notify")
    expect(route.get_by_label("Recipients")).to_be_visible()
    expect(route.get_by_label("Type of the event")).to_be_hidden()
    action.select_option("publish")
    route.get_by_label("Types").fill("order*")
    route.get_by_label("Type of the event").fill("shop.{type}")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("#routes-group")).to_contain_text("order* → publish shop.{type}")
    assert Route.objects.get().position == 0

    send_sample(page, "order.paid", '{"amount": 7}')
    assert process_due_receipts() == 1
    page.locator("#answer").get_by_role("link").click()
    expect(page.locator("body")).to_contain_text("1 in all, of them 1 events")
    page.get_by_role("link", name=re.compile(r"^shop\.order\.paid")).click()

    event = Event.objects.get()
    expect(page).to_have_url(re.compile(re.escape(page_of("outgoing.event", event.pk))))
    assert (event.type, orjson.loads(event.data)) == ("shop.order.paid", {"amount": 7})


def test_a_replay_is_planned_and_run(page: Page) -> None:
    source = make_source(name="Shop")
    for type_, status in (("push", "processed"), ("push", "dead"), ("ping", "dead")):
        make_receipt(
            source, type=type_, status=status, is_verified=True, next_attempt_at=None,
            received_at=clock.now() - timedelta(hours=1),
        )  # fmt: skip
    page.goto(list_of("incoming.receiptreplay"))
    page.get_by_role("link", name="Add receipt replay").first.click()
    page.locator(".field-source .select2-selection").click()
    page.get_by_role("option", name="Shop").click()
    page.get_by_label("Type").fill("push")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("body")).to_contain_text("Receipts planned: 2.")

    press(page, "Start")
    expect(page.locator("body")).to_contain_text("The replay is running.")
    now = clock.now()
    assert advance_replays(now) == 2
    assert process_due_receipts() == 2
    assert advance_replays(now) == 0
    page.reload()

    expect(shown(page, "Status")).to_contain_text("finished")
    expect(shown(page, "Progress")).to_contain_text("2 of 2")
    assert ReceiptReplay.objects.get().status == "finished"


def test_a_quarantined_receipt_is_released(page: Page) -> None:
    source = make_source(schema={"required": ["id"]}, schema_mode="quarantine")
    open_source(page, source)
    send_sample(page, "issues", "{}")
    page.locator("#answer").get_by_role("link").click()
    expect(shown(page, "Marks")).to_contain_text("quarantined")
    expect(page.locator("body")).to_contain_text('"id" is a required property')

    press(page, "Release")

    expect(page.locator("body")).to_contain_text("It is in line to be processed.")
    assert process_due_receipts() == 1
    page.reload()
    expect(shown(page, "Status")).to_contain_text("processed")
    assert Event.objects.get().type == "github.issues"


def test_no_page_runs_or_overflows_with_what_is_hostile(page: Page) -> None:
    rows = make_rows()
    long_name = ATTACK + "L" * (Source._meta.get_field("name").max_length - len(ATTACK))
    source = make_source(name=long_name, provider="stripe")
    receipt = make_receipt(
        source,
        type=ATTACK + "T" * 190,
        external_id="I" * 255,
        body=orjson.dumps({"x": ATTACK, "y": "y" * 1_000_000}),
        headers={"content-type": "application/json", "x-note": ATTACK + "h" * 4000},
    )
    trials = ("signature", "payload", "filter", "transformation", "routes")
    models = [name for name in rows if name.startswith("incoming.")]
    for path in [
        *map(list_of, models),
        *(page_of(name, rows[name].pk) for name in models),
        page_of("incoming.receipt", receipt.pk),
        path_of(source),
        *(path_of(source, f"try-{name}") for name in trials),
        *(path_of(source, name) for name in ("send-sample", "disable", "rotate-secret")),
        list_of("incoming.source") + "add/",
        list_of("incoming.source") + "add/?provider=github",
        list_of("incoming.receiptreplay") + "add/",
    ]:
        page.goto(path)
        for width in (WIDE, NARROW):
            page.set_viewport_size({"width": width, "height": 844})
            needed = page.evaluate("document.scrollingElement.scrollWidth")
            assert needed <= width, f"{path} needs {needed} px"
