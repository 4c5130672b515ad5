"""Deliveries to endpoints that ask for more: real servers on loopback, verified as they would."""

from __future__ import annotations

import base64
import hmac
import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.test import Client
from joserfc import jwe
from joserfc.jwk import ECKey, KeySet
from standardwebhooks import Webhook

from outgoing.models import Attempt, Delivery
from subscriptions.models import SigningSecret, Subscription
from subscriptions.services import change_subscription, rotate_secret
from tests.factories import SIGNING_SECRET, make_delivery, make_event, make_subscription
from tests.lib.certificates import Authority, server_context
from tests.lib.receiver import OK, Arrived, Line, answer, receiver
from tests.outgoing.pump import deliver
from webhooks_project.lib.keyring import Keyring, new_key

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
KINDS = SigningSecret.Kind


def delivered(subscription: Subscription) -> Attempt:
    """Carry one event to the subscription's endpoint."""
    make_delivery(make_event(subscription.account), subscription)
    assert deliver() == 1
    return Attempt.objects.latest("started_at", "id")


def secured(url: str, **security: Any) -> Subscription:
    return change_subscription(subscription=make_subscription(url=url), **security)


def content(arrived: Arrived) -> bytes:
    start = f"{arrived.headers['webhook-id']}.{arrived.headers['webhook-timestamp']}."
    return start.encode() + arrived.body


def versions(arrived: Arrived) -> list[str]:
    signatures = arrived.headers["webhook-signature"].split(" ")
    return [text.partition(",")[0] for text in signatures]


# --- signatures -----------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_both_kinds_of_secret_sign_and_the_public_key_is_at_the_jwks_address() -> None:
    with receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        rotate_secret(subscription=subscription, kind=KINDS.ED25519)
        assert delivered(subscription).outcome == "succeeded"
    (arrived,) = here.arrived
    Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    (text,) = [
        item.removeprefix("v1a,")
        for item in arrived.headers["webhook-signature"].split(" ")
        if item.startswith("v1a,")
    ]
    shown = Client().get(f"/keys/{subscription.pk}/jwks.json")
    (key,) = KeySet.import_key_set(shown.json()).keys
    assert isinstance(key.public_key, Ed25519PublicKey)
    key.public_key.verify(base64.b64decode(text), content(arrived))


@time_machine.travel(NOW, tick=False)
def test_after_the_grace_only_the_new_key_signs() -> None:
    with time_machine.travel(NOW - timedelta(hours=2), tick=False), receiver(answer()) as here:
        subscription = make_subscription(url=here.url)
        rotate_secret(
            subscription=subscription,
            kind=KINDS.ED25519,
            grace=timedelta(hours=1),
            replaces_all=True,
        )
        delivered(subscription)
    with receiver(answer()) as there:
        Subscription.objects.update(url=there.url)
        delivered(subscription)
    assert versions(here.arrived[0]) == ["v1a", "v1"]
    assert versions(there.arrived[0]) == ["v1a"]


@time_machine.travel(NOW, tick=False)
def test_a_template_stands_in_place_of_the_standard_signature() -> None:
    with receiver(answer()) as here:
        subscription = secured(here.url, signature_template={"preset": "stripe"})
        new = rotate_secret(subscription=subscription).secret
        attempt = delivered(subscription)
    (arrived,) = here.arrived
    timestamp = int(NOW.timestamp())
    signed = f"{timestamp}.".encode() + arrived.body
    macs = [hmac.new(key.encode(), signed, "sha256").hexdigest() for key in (new, SIGNING_SECRET)]
    assert arrived.headers["stripe-signature"] == f"t={timestamp},v1={macs[0]},v1={macs[1]}"
    assert "webhook-signature" not in arrived.headers
    assert arrived.headers["webhook-id"] == attempt.request_headers["webhook-id"]
    assert attempt.request_headers["stripe-signature"] == "[redacted]"


def test_a_template_needs_a_shared_secret() -> None:
    with receiver(answer()) as here:
        subscription = secured(here.url, signature_template={"preset": "github"})
        rotate_secret(
            subscription=subscription,
            kind=KINDS.ED25519,
            grace=timedelta(),
            replaces_all=True,
        )
        assert delivered(subscription).cause == "unsignable"
    assert here.arrived == []


# --- headers and authentication -------------------------------------------------------------------


def test_sends_custom_headers_and_basic_authentication_and_keeps_neither() -> None:
    with receiver(answer()) as here:
        subscription = secured(
            here.url,
            custom_headers={"X-Team": "a team", "X-Key": "k3y"},
            authentication={"kind": "basic", "username": "me", "password": "pässword"},
        )
        with structlog.testing.capture_logs() as logs:
            attempt = delivered(subscription)
    (arrived,) = here.arrived
    assert (arrived.headers["x-team"], arrived.headers["x-key"]) == ("a team", "k3y")
    scheme, _, pair = arrived.headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(pair).decode()) == ("Basic", "me:pässword")
    Webhook(SIGNING_SECRET).verify(arrived.body, arrived.headers)
    shown = attempt.request_headers
    assert {name: shown[name] for name in ("x-team", "x-key", "authorization")} == {
        "x-team": "[redacted]",
        "x-key": "[redacted]",
        "authorization": "[redacted]",
    }
    assert "k3y" not in str(shown) + str(logs)


def test_what_an_event_brings_along_gives_way_to_what_the_subscription_sets() -> None:
    with receiver(answer()) as here:
        subscription = secured(
            here.url,
            custom_headers={"X-Key": "k3y"},
            authentication={"kind": "bearer", "token": "abc"},
        )
        headers = {"x-key": "of the event", "authorization": "of the event", "x-own": "kept"}
        make_delivery(make_event(subscription.account, headers=headers), subscription)
        deliver()
    (arrived,) = here.arrived
    sent = arrived.headers
    assert (sent["x-key"], sent["authorization"], sent["x-own"]) == ("k3y", "Bearer abc", "kept")


@pytest.mark.parametrize(
    ("form", "content_type"),
    [
        ("standard", "json"),
        ("cloudevents_structured", "cloudevents+json"),
        ("cloudevents_binary", "json"),
        ("raw", "json"),
        ("thin", "json"),
    ],
)
def test_every_form_of_a_payload_is_sealed(form: str, content_type: str) -> None:
    key = ECKey.generate_key("P-256")
    with receiver(answer()) as here:
        subscription = secured(
            here.url, payload_form=form, encryption_key=key.as_dict(private=False)
        )
        delivered(subscription)
    (arrived,) = here.arrived
    opened = jwe.decrypt_compact(arrived.body, key, algorithms=["ECDH-ES", "A256GCM"])
    assert arrived.headers["content-type"] == "application/jose"
    assert opened.headers()["cty"] == content_type
    assert isinstance(json.loads(opened.plaintext or b""), dict)


def test_sends_a_bearer_token() -> None:
    with receiver(answer()) as here:
        subscription = secured(here.url, authentication={"kind": "bearer", "token": "abc.def"})
        delivered(subscription)
    assert here.arrived[0].headers["authorization"] == "Bearer abc.def"


def test_goes_by_what_is_set_now() -> None:
    with receiver(answer()) as here:
        subscription = secured(here.url, custom_headers={"X-A": "1"})
        delivered(subscription)
        change_subscription(subscription=subscription, custom_headers={"X-A": "2"})
        delivered(subscription)
        change_subscription(subscription=subscription, custom_headers={})
        delivered(subscription)
    assert [one.headers.get("x-a") for one in here.arrived] == ["1", "2", None]


def test_what_cannot_be_opened_is_not_sent(settings: Any) -> None:
    with receiver(answer()) as here:
        subscription = secured(here.url, custom_headers={"X-Key": "k3y"})
        settings.ENCRYPTION_KEYRING = Keyring.parse(new_key("other"))
        SigningSecret.objects.all().delete()
        SigningSecret.objects.create(subscription=subscription, secret=SIGNING_SECRET)
        attempt = delivered(subscription)
    assert (attempt.outcome, attempt.cause) == ("failed", "credentials_unreadable")
    assert here.arrived == []
    assert Delivery.objects.get().status == "pending"  # it is tried again


# --- sealing --------------------------------------------------------------------------------------


@time_machine.travel(NOW, tick=False)
def test_a_body_is_sealed_and_the_signature_is_over_what_is_sent() -> None:
    key = ECKey.generate_key("P-256")
    with receiver(answer()) as here:
        subscription = secured(here.url, encryption_key=key.as_dict(private=False))
        attempt = delivered(subscription)
    (arrived,) = here.arrived
    assert arrived.headers["content-type"] == "application/jose"
    opened = jwe.decrypt_compact(arrived.body, key, algorithms=["ECDH-ES", "A256GCM"])
    assert opened.plaintext is not None
    assert json.loads(opened.plaintext)["data"] == {"amount": 1}
    assert opened.headers()["cty"] == "json"
    sent = arrived.headers["webhook-signature"].removeprefix("v1,")
    raw = base64.b64decode(SIGNING_SECRET.removeprefix("whsec_"))
    assert base64.b64decode(sent) == hmac.digest(raw, content(arrived), "sha256")
    assert attempt.request_headers["content-type"] == "application/jose"
    assert attempt.request_bytes == len(arrived.body)


# --- mutual TLS -----------------------------------------------------------------------------------


def test_shows_its_certificate_to_an_endpoint_with_an_authority_of_its_own(tmp_path: Path) -> None:
    servers, clients = Authority("Servers"), Authority("Clients")
    pair = clients.issue("the-hub")
    names: list[str] = []

    def script(line: Line) -> None:
        assert isinstance(line.socket, ssl.SSLSocket)
        while line.read():
            names.append((line.socket.getpeercert() or {})["subject"][0][0][1])
            line.send(OK)

    context = server_context(tmp_path, servers.issue(), clients=clients.certificate)
    with receiver(script, context=context) as here:
        url = here.url.replace("http:", "https:")
        stranger = make_subscription(url=url)
        subscription = secured(
            url,
            client_certificate=pair.certificate,
            client_key=pair.key,
            ca_certificates=servers.certificate,
        )
        attempt = delivered(subscription)
        assert (attempt.outcome, attempt.cause) == ("succeeded", "")
        refused = delivered(stranger)
        assert (refused.outcome, refused.cause) == ("failed", "tls")
    assert names == ["the-hub"]
