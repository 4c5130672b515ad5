"""An endpoint's security in the console: set in the form, never shown again."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.forms import CheckboxInput
from django.test import Client

from monitoring.models import AuditEntry
from subscriptions.models import SigningSecret, Subscription
from subscriptions.services import change_subscription
from tests.console.conftest import errors_of, make_viewer
from tests.console.test_forms import ADD_SUBSCRIPTION, subscription_fields
from tests.factories import make_account, make_subscription
from tests.lib.certificates import Authority
from webhooks_project.admin.values import page_of
from webhooks_project.lib import clock

PAIR = Authority().issue("the-hub")
BASIC = {"kind": "basic", "username": "me", "password": "s3cr3t-password"}
SECRETS = ("s3cr3t", PAIR.key.splitlines()[1])
FIELDS = {
    "signature_template": '{"preset": "github"}',
    "custom_headers": "X-Key: s3cr3t-header\nX-Team: s3cr3t-team",
    "authentication": json.dumps(BASIC),
    "client_certificate": PAIR.certificate,
    "client_key": PAIR.key,
}


def make_secured() -> Subscription:
    return change_subscription(
        subscription=make_subscription(url="http://127.0.0.1:8999/hook"),
        custom_headers={"X-Key": "s3cr3t-header"},
        authentication=BASIC,
        client_certificate=PAIR.certificate,
        client_key=PAIR.key,
    )


def page(subscription: Subscription) -> str:
    return page_of("subscriptions.subscription", subscription.pk)


def as_shown(response: Any) -> dict[str, Any]:
    """What a browser would send of the form as it was shown."""
    form = response.context["adminform"].form
    sent: dict[str, Any] = {}
    for name, field in form.fields.items():
        value = form[name].value()
        if isinstance(field.widget, CheckboxInput):
            sent |= {name: "on"} if value else {}
            continue
        shown = field.widget.format_value(value)
        sent[name] = shown[0] if isinstance(shown, list) and shown else shown or ""
    return sent


def test_a_subscription_is_made_with_it(console: Client) -> None:
    response = console.post(ADD_SUBSCRIPTION, subscription_fields(make_account(), **FIELDS))
    row = Subscription.objects.get()
    assert response.status_code == 200
    assert row.signature_template == {"preset": "github"}
    assert json.loads(row.custom_headers) == {"X-Key": "s3cr3t-header", "X-Team": "s3cr3t-team"}
    assert json.loads(row.authentication) == BASIC
    assert row.client_key == PAIR.key.strip()
    text = response.content.decode() + console.get(page(row)).content.decode()
    assert not [secret for secret in SECRETS if secret in text]


def test_the_form_shows_masks_and_saved_so_nothing_changes(console: Client) -> None:
    subscription = make_secured()
    entries = AuditEntry.objects.count()
    shown = console.get(page(subscription))
    text = shown.content.decode()
    assert "X-Key: [redacted]" in text
    assert not [secret for secret in SECRETS if secret in text]
    response = console.post(page(subscription), as_shown(shown))
    assert response.status_code == 302, errors_of(response)
    row = Subscription.objects.get()
    assert json.loads(row.authentication) == BASIC
    assert row.client_key == PAIR.key.strip()
    assert (
        list(AuditEntry.objects.order_by("sequence").values_list("after", flat=True)[entries:])
        == []
    )


def test_one_header_is_added_and_the_other_stays(console: Client) -> None:
    subscription = make_secured()
    fields = as_shown(console.get(page(subscription)))
    fields["custom_headers"] = "X-Key: [redacted]\nX-New: new"
    assert console.post(page(subscription), fields).status_code == 302
    kept = json.loads(Subscription.objects.get().custom_headers)
    assert kept == {"X-Key": "s3cr3t-header", "X-New": "new"}


def test_another_host_is_sent_them_only_where_the_box_says_so(console: Client) -> None:
    subscription = make_secured()
    fields = as_shown(console.get(page(subscription)))
    fields["url"] = "http://127.0.0.2:8999/hook"
    response = console.post(page(subscription), fields)
    assert response.status_code == 200
    assert "keep_credentials" in str(errors_of(response))
    assert Subscription.objects.get().url == subscription.url
    fields["keep_credentials"] = "on"
    assert console.post(page(subscription), fields).status_code == 302
    row = Subscription.objects.get()
    assert row.url == fields["url"]
    assert json.loads(row.authentication) == BASIC
    assert "keep_credentials" not in console.get(ADD_SUBSCRIPTION).content.decode()


def test_without_its_certificate_the_key_goes_too(console: Client) -> None:
    subscription = make_secured()
    fields = as_shown(console.get(page(subscription)))
    fields["client_certificate"] = ""
    assert console.post(page(subscription), fields).status_code == 302
    row = Subscription.objects.get()
    assert (row.client_certificate, row.client_key) == ("", "")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("custom_headers", "Host: s3cr3t", "Host is the hub's own"),
        (
            "authentication",
            '{"kind": "bearer", "token": "s3cr3t s3cr3t"}',
            "A token is letters, digits and ._~+/- with = at its end.",
        ),
        ("client_key", "s3cr3t", "That is no private key in PEM."),
        ("signature_template", '{"preset": "nobody"}', None),
    ],
)
def test_a_refusal_stands_at_its_field_and_shows_no_secret(
    console: Client, field: str, value: str, message: str | None
) -> None:
    changes = {"client_certificate": PAIR.certificate, "client_key": PAIR.key} | {field: value}
    fields = subscription_fields(make_account(), **changes)
    response = console.post(ADD_SUBSCRIPTION, fields)
    assert set(errors_of(response)) == {field}
    if message is not None:
        assert errors_of(response) == {field: [message]}
    assert "s3cr3t" not in response.content.decode()
    assert not Subscription.objects.exists()


def test_who_may_only_look_sees_masks(db: None) -> None:
    subscription = make_secured()
    text = make_viewer("subscriptions.subscription").get(page(subscription)).content.decode()
    assert "[redacted]" in text
    assert not [secret for secret in SECRETS if secret in text]


def test_a_key_is_rotated_by_kind_and_grace(console: Client) -> None:
    subscription = make_subscription()
    path = f"/admin/subscriptions/subscription/{subscription.pk}/rotate-secret/"
    data = {"kind": "ed25519", "grace_hours": "2", "replaces_all": "on"}
    response = console.post(path, data)
    new = SigningSecret.objects.get(kind="ed25519")
    text = response.content.decode()
    assert text.count(new.secret) == 1
    assert new.public_key.replace("+", "&#43;") in text or new.public_key in text
    assert f"/keys/{subscription.pk}/jwks.json" in text
    old = SigningSecret.objects.get(kind="hmac")
    assert old.expires_at is not None
    assert timedelta(hours=1) < old.expires_at - clock.now() <= timedelta(hours=2)


@pytest.mark.parametrize("hours", ["-1", "169", "many"])
def test_a_grace_is_at_most_seven_days(console: Client, hours: str) -> None:
    subscription = make_subscription()
    path = f"/admin/subscriptions/subscription/{subscription.pk}/rotate-secret/"
    response = console.post(path, {"grace_hours": hours})
    assert response.status_code == 200
    assert SigningSecret.objects.get().expires_at is None
