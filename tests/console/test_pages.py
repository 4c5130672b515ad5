"""Every list and every page opens; history is only looked at."""

from __future__ import annotations

import re

import pytest
import time_machine
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.db.models import Model
from django.test import Client

from tests.console.conftest import make_rows
from tests.factories import make_account, make_delivery, make_receipt, make_source, make_user
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib import clock

HISTORY = [
    "outgoing.event", "outgoing.delivery", "outgoing.attempt", "outgoing.retry",
    "outgoing.replay", "incoming.receipt", "incoming.handlerrun", "incoming.receiptreplay",
    "incoming.refusalcount", "monitoring.activity", "monitoring.notification",
    "monitoring.auditentry", "monitoring.auditanchor", "monitoring.finding",
    "monitoring.healthcheck", "monitoring.incident", "analytics.rollup", "analytics.reportrun",
    "analytics.receiptrollup", "hub.heartbeat",
    "subscriptions.bulkjob",
]  # fmt: skip
CHANGEABLE = [
    "accounts.account", "accounts.user", "subscriptions.subscription",
    "subscriptions.eventtype", "incoming.source", "monitoring.healthpolicy",
    "monitoring.alertrule", "analytics.objective", "monitoring.channel", "analytics.dashboard",
    "analytics.report",
]  # fmt: skip
MODELS = [*HISTORY, *CHANGEABLE, "accounts.apikey"]
# Queries of a list, whatever the number of its rows: two for the session and its user, one for the
# page of rows, two for the first and the last date; then what the note says.
QUERIES_OF_LIST = {
    "outgoing.event": 7,  # the accounts; the deliveries of the page's events, by status
    "outgoing.delivery": 5,
    "outgoing.attempt": 5,
    "outgoing.retry": 5,
    "outgoing.replay": 5,
    "incoming.receipt": 6,  # the sources
    "incoming.handlerrun": 4,  # the sources; no first and last date
    "incoming.receiptreplay": 5,
    "incoming.refusalcount": 5,
    "monitoring.activity": 6,  # the accounts
    "monitoring.notification": 6,  # the accounts
    "monitoring.auditentry": 6,  # the accounts
    "monitoring.auditanchor": 4,  # the accounts; no first and last date
    "monitoring.finding": 7,  # the accounts and the subscriptions
    "monitoring.healthcheck": 5,  # the accounts, subscriptions; no first and last date
    "monitoring.healthpolicy": 5,  # two counts
    "monitoring.incident": 6,  # the accounts
    "monitoring.alertrule": 5,  # two counts
    "analytics.dashboard": 6,  # two counts, the numbers of widgets
    "analytics.report": 5,  # two counts
    "analytics.reportrun": 4,  # the files
    # Two counts; the grains that are kept, minutes, hours and days, on PostgreSQL at once.
    "analytics.objective": 8 if connection.vendor == "postgresql" else 9,
    "analytics.rollup": 5,
    "analytics.receiptrollup": 5,
    "hub.heartbeat": 5,
    "accounts.apikey": 5,
    "accounts.account": 7,  # two counts
    "accounts.user": 8,  # two counts, the groups of the filter
    "subscriptions.subscription": 8,  # two counts, the patterns
    "subscriptions.bulkjob": 6,  # the accounts
    "subscriptions.eventtype": 7,  # two counts
    "incoming.source": 7,  # two counts
    "monitoring.channel": 5,  # two counts; no first and last date
}


def test_every_model_of_the_hub_has_pages() -> None:
    registered = {model._meta.label_lower for model in admin.site._registry}

    assert registered == {*MODELS, "auth.group"}


@pytest.mark.parametrize("model", MODELS)
def test_list_opens(console: Client, rows: dict[str, Model], model: str) -> None:
    response = console.get(list_of(model))

    assert response.status_code == 200
    assert page_of(model, rows[model].pk) in response.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_page_opens(console: Client, rows: dict[str, Model], model: str) -> None:
    assert console.get(page_of(model, rows[model].pk)).status_code == 200


def test_group_page_opens(console: Client) -> None:
    group = Group.objects.create(name="Operators")

    assert console.get(page_of("auth.group", group.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS)
def test_queries_of_a_list_do_not_grow_with_it(
    console: Client, rows: dict[str, Model], model: str, django_assert_num_queries: object
) -> None:
    for _ in range(6):
        make_rows()

    half_past = clock.now().replace(minute=30)  # at a full hour rollups of no minute are read
    with (
        time_machine.travel(half_past, tick=False),
        django_assert_num_queries(QUERIES_OF_LIST[model]),  # type: ignore[operator]
    ):
        response = console.get(list_of(model))

    assert len(response.context["cl"].result_list) >= 7


@pytest.mark.parametrize("model", HISTORY)
def test_history_is_not_made_changed_or_deleted(
    console: Client, rows: dict[str, Model], model: str
) -> None:
    path = page_of(model, rows[model].pk)

    page = console.get(path).content.decode()

    assert 'name="_save"' not in page
    assert "deletelink" not in page
    assert path.replace("/change/", "/delete/") not in page
    assert console.post(path, {"_save": "Save"}).status_code == 403
    assert console.post(path.replace("/change/", "/delete/"), {"post": "yes"}).status_code == 403
    assert type(rows[model])._default_manager.filter(pk=rows[model].pk).exists()


PLANNED = ("incoming.receiptreplay", "outgoing.replay")


@pytest.mark.parametrize("model", [name for name in HISTORY if name not in PLANNED])
def test_history_is_not_added_to(console: Client, model: str) -> None:
    assert console.get(list_of(model) + "add/").status_code == 403


def test_an_empty_list_says_what_makes_a_row(console: Client) -> None:
    text = console.get(list_of("incoming.refusalcount")).content.decode()

    assert "There are no refusal counts yet." in text
    assert "Calls that a source refuses are counted here" in text
    assert "Show all" not in text
    assert "/admin/incoming/refusalcount/add/" not in text


def test_an_empty_list_leads_to_the_form(console: Client) -> None:
    text = console.get(list_of("incoming.receiptreplay")).content.decode()

    assert "There are no receipt replays yet." in text
    assert "/admin/incoming/receiptreplay/add/" in text


def test_a_search_that_finds_nothing_leads_back(console: Client, rows: dict[str, Model]) -> None:
    text = console.get(list_of("incoming.source", q="nobody")).content.decode()

    assert "Nothing fits the search and the filters." in text
    assert "There are no sources yet." not in text


def test_a_name_is_shown_as_it_is_written(console: Client) -> None:
    source = make_source(name="github-prod \u202e")

    text = console.get(page_of("incoming.source", source.pk)).content.decode()

    assert "<bdi>github-prod \u202e</bdi>" in text


@pytest.mark.parametrize("model", ["accounts.account", "subscriptions.subscription",
                                   "incoming.source", "accounts.apikey"])  # fmt: skip
def test_what_has_a_history_is_not_deleted(
    console: Client, rows: dict[str, Model], model: str
) -> None:
    path = page_of(model, rows[model].pk).replace("/change/", "/delete/")

    assert console.post(path, {"post": "yes"}).status_code == 403
    assert type(rows[model])._default_manager.filter(pk=rows[model].pk).exists()


@pytest.mark.parametrize(
    "model",
    ["accounts.account", "accounts.user", "accounts.apikey", "subscriptions.subscription",
     "subscriptions.eventtype", "incoming.source", "incoming.receiptreplay", "auth.group"],
)  # fmt: skip
def test_add_form_opens(console: Client, model: str) -> None:
    assert console.get(list_of(model) + "add/").status_code == 200


def test_first_page_counts_the_last_day(console: Client, rows: dict[str, Model]) -> None:
    make_delivery(status="exhausted", last_cause="dns", last_status_code=None)
    make_receipt(status="dead", detail="it does not fit")

    response = console.get("/admin/")

    figures = {figure["title"]: figure["total"] for figure in response.context["figures"]}
    assert figures == {"Receipts": 2, "Deliveries": 2, "Events": 2}
    text = response.content.decode()
    assert "it does not fit" in text
    assert (
        list_of("outgoing.delivery", status__exact="exhausted", last_cause="dns").replace(
            "&", "&amp;"
        )
        in text
    )


def test_first_page_shows_what_one_may_look_at(rows: dict[str, Model]) -> None:
    make_delivery(status="exhausted")
    clerk = make_user(is_staff=True)
    clerk.user_permissions.add(Permission.objects.get(codename="view_event"))
    client = Client()
    client.force_login(clerk)

    response = client.get("/admin/")

    assert [figure["title"] for figure in response.context["figures"]] == ["Events"]
    assert response.context["panels"] == []


def test_first_page_asks_little(console: Client, django_assert_max_num_queries: object) -> None:
    source = make_source(make_account())
    for _ in range(5):
        make_delivery(status="exhausted", last_cause="dns")
        make_receipt(source, status="dead")

    with django_assert_max_num_queries(20):  # type: ignore[operator]
        console.get("/admin/")


def test_sidebar_leads_to_pages_that_are_there(console: Client) -> None:
    page = console.get("/admin/").content.decode()
    sidebar = page[page.index('id="nav-sidebar-apps"') :]
    links = set(re.findall(r'href="(/admin/[a-z_]+/[a-z_]+/)"', sidebar))

    assert {list_of(model) for model in [*MODELS, "auth.group"]} == links
    assert {console.get(link).status_code for link in links} == {200}


def test_nothing_is_loaded_from_elsewhere(console: Client, rows: dict[str, Model]) -> None:
    for path in ("/admin/", list_of("outgoing.delivery"), list_of("incoming.source") + "add/"):
        page = console.get(path).content.decode()

        assert not re.findall(r'(?:src|<link[^>]*href)="(?:https?:)?//[^"]*"', page)


def test_a_row_that_is_not_there_is_said_so(console: Client) -> None:
    path = page_of("outgoing.delivery", "01234567-89ab-7def-8123-456789abcdef")

    assert console.get(path).status_code == 302
    assert console.get(path.replace("/change/", "/redeliver/")).status_code == 302


def test_history_button_leads_to_the_audit(console: Client, rows: dict[str, Model]) -> None:
    subscription = rows["subscriptions.subscription"]
    path = page_of("subscriptions.subscription", subscription.pk).replace("/change/", "/history/")

    response = console.get(path, follow=True)

    assert response.redirect_chain[0][0] == list_of(
        "monitoring.auditentry", object_id=subscription.pk
    )
    assert [entry.action for entry in response.context["cl"].result_list] == ["test.changed"]


def test_attempt_page_tells_where_the_time_went(console: Client, rows: dict[str, Model]) -> None:
    page = console.get(page_of("outgoing.attempt", rows["outgoing.attempt"].pk)).content.decode()

    assert "Name lookup 1.0 ms" in page
    assert "Connect 1.0 ms" in page
    assert "First byte 7.0 ms" in page
    assert "Answer 3.5 ms" in page
    assert "Total 12.5 ms" in page


def test_event_page_says_why_a_subscription_got_nothing(
    console: Client, rows: dict[str, Model]
) -> None:
    page = console.get(page_of("outgoing.event", rows["outgoing.event"].pk)).content.decode()

    assert "expired" in page
    assert page_of("incoming.receipt", rows["incoming.receipt"].pk) in page


def test_receipt_page_shows_verdict_and_events(console: Client, rows: dict[str, Model]) -> None:
    receipt = rows["incoming.receipt"]
    page = console.get(page_of("incoming.receipt", receipt.pk)).content.decode()

    assert "secret …cret" in page
    assert page_of("outgoing.event", rows["outgoing.event"].pk) in page
    assert "1 pending" in page


def test_binary_body_is_a_hex_dump(console: Client) -> None:
    receipt = make_receipt(body=b"\x00\xff\x10MZ" * 1000, received_at=clock.now())

    page = console.get(page_of("incoming.receipt", receipt.pk)).content.decode()

    assert "00000000  00 ff 10 4d 5a 00 ff 10" in page
    assert "5,000 bytes. The first 2,048 as a hex dump." in page
