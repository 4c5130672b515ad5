"""Channels and notifications in the console."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time
from typing import Any

import pytest
from django.test import Client

from monitoring.models import AuditEntry, Channel, Notification
from tests.console.conftest import errors_of
from tests.factories import make_account
from tests.monitoring.receivers import (
    NOW,
    PAGERDUTY,
    SLACK,
    Answer,
    WebServer,
    lose_key,
    make_channel,
    relays,
    web_server,
)
from webhooks_project.accounts.models import Account
from webhooks_project.admin.values import list_of, page_of
from webhooks_project.lib.keyring import CannotDecrypt

ADD = "/admin/monitoring/channel/add/"


@pytest.fixture
def web(settings: Any) -> Iterator[WebServer]:
    with web_server() as server:
        settings.WEBHOOKS_CHANNEL_RELAYS = relays(server)
        yield server


def form(account: Account, **fields: Any) -> dict[str, Any]:
    return {
        "account": str(account.pk), "name": "Ops", "hourly_limit": "30", "quiet_from": "",
        "quiet_until": "", "time_zone": "UTC", "enabled": "on", **fields,
    }  # fmt: skip


def button(channel: Any, name: str) -> str:
    return page_of(channel._meta.label_lower, channel.pk).replace("/change/", f"/{name}/")


def test_a_kind_is_chosen_first(console: Client) -> None:
    text = console.get(ADD).content.decode()
    for kind in Channel.Kind.values:
        assert f"?kind={kind}" in text
    assert "Send webhook alerts to a channel" in text


@pytest.mark.parametrize(
    ("kind", "shown", "hidden"),
    [
        ("email", ["recipients"], ["secret", "region"]),
        ("slack", ["secret"], ["recipients", "region"]),
        ("teams", ["secret"], ["recipients", "region"]),
        ("pagerduty", ["secret", "region"], ["recipients"]),
        ("webhook", [], ["recipients", "secret", "region"]),
    ],
)
def test_the_form_asks_for_what_the_kind_needs(
    console: Client, kind: str, shown: list[str], hidden: list[str]
) -> None:
    text = console.get(f"{ADD}?kind={kind}").content.decode()
    assert [name for name in shown if f'name="{name}"' not in text] == []
    assert [name for name in hidden if f'name="{name}"' in text] == []


def test_a_channel_is_made_and_its_secret_never_shown(console: Client, operator: Any) -> None:
    account = make_account()
    response = console.post(
        f"{ADD}?kind=slack",
        form(account, secret=SLACK, quiet_from="22:00", quiet_until="07:00"),
    )
    assert response.status_code == 302
    channel = Channel.objects.get()
    assert (channel.kind, channel.secret, channel.host) == ("slack", SLACK, "hooks.slack.com")
    assert (channel.quiet_from, channel.quiet_until) == (time(22), time(7))
    text = console.get(page_of("monitoring.channel", channel.pk)).content.decode()
    assert "aVerySecret" not in text
    assert f"…{SLACK[-4:]}" in text
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor_id) == ("channel.created", str(operator.pk))
    assert "aVerySecret" not in entry.after


def test_a_refusal_stands_at_its_field(console: Client) -> None:
    account = make_account()
    response = console.post(f"{ADD}?kind=slack", form(account, secret="https://evil.example/"))
    assert errors_of(response) == {
        "secret": ["is the URL of an incoming webhook: https://hooks.slack.com/services/…"]
    }
    assert "evil.example" not in response.content.decode()
    response = console.post(f"{ADD}?kind=email", form(account, recipients=""))
    assert errors_of(response) == {"recipients": ["name an address or a role"]}
    make_channel(account, "webhook", name="Ops")
    response = console.post(f"{ADD}?kind=webhook", form(account))
    assert errors_of(response) == {
        "__all__": ["Channel with this Account and Name already exists."]
    }


def test_a_change_leaves_a_secret_that_is_not_entered(console: Client) -> None:
    channel = make_channel(make_account(), "pagerduty")
    path = page_of("monitoring.channel", channel.pk)
    fields = form(channel.account, name="Pager", region="eu", secret="")
    fields.pop("account")
    assert console.post(path, fields).status_code == 302
    channel = Channel.objects.get()
    assert (channel.name, channel.region, channel.secret) == ("Pager", "eu", PAGERDUTY)
    assert channel.host == "events.eu.pagerduty.com"


@pytest.mark.parametrize("kind", ["slack", "teams", "pagerduty"])
def test_one_whose_key_is_lost_is_shown_switched_off_and_mended(console: Client, kind: str) -> None:
    channel = make_channel(make_account(), kind)
    secret, host = channel.secret, channel.host
    lose_key(channel)
    path = page_of("monitoring.channel", channel.pk)
    assert "It cannot be opened" in console.get(path).content.decode()
    fields = form(channel.account, secret="", region="us")
    del fields["account"], fields["enabled"]
    assert console.post(path, fields).status_code == 302
    channel = Channel.objects.get()
    assert (channel.enabled, channel.name, channel.host) == (False, "Ops", host)
    with pytest.raises(CannotDecrypt):
        _ = channel.secret
    assert console.post(path, fields | {"secret": secret, "enabled": "on"}).status_code == 302
    channel = Channel.objects.get()
    assert (channel.enabled, channel.secret, channel.host) == (True, secret, host)


def test_a_channel_is_deleted_by_the_service(console: Client) -> None:
    channel = make_channel(make_account(), "webhook")
    path = page_of("monitoring.channel", channel.pk).replace("/change/", "/delete/")
    assert console.post(path, {"post": "yes"}).status_code == 302
    assert not Channel.objects.exists()
    assert AuditEntry.objects.order_by("-sequence")[0].action == "channel.deleted"


def test_the_test_button_says_how_it_ended(console: Client, web: WebServer) -> None:
    channel = make_channel(make_account())
    page = console.post(button(channel, "test"), follow=True).content.decode()
    assert "The test message was taken." in page
    Channel.objects.update(tested_at=None)
    web.give(Answer(404, b"no_service"))
    page = console.post(button(channel, "test"), follow=True).content.decode()
    assert "The test failed: not_accepted: Slack answered 404 no_service" in page
    page = console.get(list_of("monitoring.channel")).content.decode()
    assert "failed" in page


def test_what_has_failed_is_sent_again(console: Client) -> None:
    row = Notification.objects.create(
        account=make_account(), kind="test", recipient="a@example.com", title="A", text="B",
        status="failed", error="mail_not_sent: no", created_at=NOW,
    )  # fmt: skip
    page = console.get(page_of("monitoring.notification", row.pk)).content.decode()
    assert button(row, "resend") in page
    console.post(button(row, "resend"))
    row.refresh_from_db()
    assert row.status == "pending"
    page = console.get(page_of("monitoring.notification", row.pk)).content.decode()
    assert button(row, "resend") not in page


def test_a_message_shows_what_it_stands_for(console: Client) -> None:
    fields = {"account": make_account(), "kind": "test", "recipient": "a", "text": "B",
              "created_at": NOW}  # fmt: skip
    whole = Notification.objects.create(title="Two more", **fields)
    part = Notification.objects.create(
        title="The part", status="combined", combined_in=whole, **fields
    )
    page = console.get(page_of("monitoring.notification", whole.pk)).content.decode()
    assert "The part" in page
    page = console.get(page_of("monitoring.notification", part.pk)).content.decode()
    assert page_of("monitoring.notification", whole.pk) in page
