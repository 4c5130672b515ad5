"""Samples: signed as the provider signs, taken by the real door."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from incoming.errors import SampleNotPossible
from incoming.models import Receipt
from incoming.providers import PROVIDERS, Verified
from incoming.samples import sample_call, send_sample
from incoming.sources import known_source
from tests.bench.verify import CASES
from tests.factories import make_source
from webhooks_project.lib import clock

NOW = clock.now().timestamp()
# Their own key, or a proof that only their module knows how to check.
UNSIGNABLE = frozenset(
    [
        "adyen",
        "alipay",
        "aws-sns",
        "box",
        "braintree",
        "circle",
        "contentful",
        "convoy",
        "discord",
        "ebay",
        "exact-online",
        "fireblocks",
        "gitlab",
        "hook0",
        "hubspot",
        "mailgun",
        "mandrill",
        "messagebird",
        "monday",
        "neon",
        "paymob",
        "paypal",
        "plaid",
        "praxis",
        "sendgrid",
        "telnyx",
        "tiktok-shop",
        "tokenio",
        "treezor",
        "twilio",
        "utila",
        "wechat-pay",
        "wix",
    ]
)


def source_of(name: str) -> Any:
    case = CASES[name]
    return make_source(provider=name, secret=case.secrets[0], options=dict(case.options))


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(PROVIDERS.keys() - UNSIGNABLE))
def test_a_sample_is_what_the_provider_would_send(name: str) -> None:
    known = known_source(source_of(name))
    call = sample_call(known, type_="a.b", now=NOW)
    secrets = known.valid_secrets(clock.now())
    assert isinstance(known.provider.verify(call, secrets, options=known.options), Verified)
    other = known_source(make_source(provider=name, secret=CASES[name].secrets[2],
                                     options=dict(CASES[name].options)))  # fmt: skip
    verdict = known.provider.verify(call, other.valid_secrets(clock.now()), options=known.options)
    assert not isinstance(verdict, Verified)


@pytest.mark.django_db
@pytest.mark.parametrize("name", sorted(UNSIGNABLE))
def test_what_cannot_be_imitated_is_said(name: str) -> None:
    with pytest.raises(SampleNotPossible) as raised:
        sample_call(known_source(source_of(name)), now=NOW)
    assert raised.value.extra == {"reason": "unsignable"}


@pytest.mark.django_db
def test_a_source_without_a_secret_has_no_sample() -> None:
    with pytest.raises(SampleNotPossible) as raised:
        sample_call(known_source(make_source(secret=None)), now=NOW)
    assert raised.value.extra == {"reason": "secret_missing"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("provider", "type_"),
    [
        ("github", "issues"),
        ("stripe", "invoice.paid"),
        ("slack", "event_callback"),
        ("standard-webhooks", "a.b"),
        ("shopify", "orders/create"),
    ],
)
def test_the_real_door_takes_a_sample(
    live_server: Any, settings: Any, provider: str, type_: str
) -> None:
    settings.PUBLIC_URL = live_server.url
    source = source_of(provider)
    result = send_sample(source=source, type_=type_)
    receipt = Receipt.objects.get()
    assert (result.status, receipt.status, receipt.type) == (200, "accepted", type_)
    assert receipt.external_id
    assert str(receipt.pk) in result.answer
    assert "[redacted]" in result.headers.values()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("provider", ["microsoft-graph", "meraki", "postmark"])
def test_a_sample_that_holds_the_secret_shows_it_to_nobody(
    live_server: Any, settings: Any, provider: str
) -> None:
    settings.PUBLIC_URL = live_server.url
    source = source_of(provider)
    secret = source.secrets.get().secret
    result = send_sample(source=source)
    assert 200 <= result.status < 300
    assert secret not in str(result)
    assert bytes(Receipt.objects.get().body_sha256) == hashlib.sha256(result.body).digest()


@pytest.mark.django_db
def test_a_door_that_cannot_be_reached_is_said(settings: Any) -> None:
    settings.PUBLIC_URL = "http://127.0.0.1:9"
    with pytest.raises(SampleNotPossible) as raised:
        send_sample(source=make_source())
    assert raised.value.extra == {"reason": "unreachable"}
