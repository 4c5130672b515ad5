"""Samples: signed as the provider signs, taken by the real door."""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import orjson
import pytest

from incoming.errors import SampleNotPossible
from incoming.models import Receipt
from incoming.providers import PROVIDERS, Call, Identity, Provider, Secret, Verified
from incoming.samples import sample_call, send_sample
from incoming.sources import known_source
from tests.bench.verify import CASES
from tests.factories import make_source
from webhooks_project.lib import clock

JSON = "application/json"
NOW = clock.now().timestamp()
# Each signs with a key that only the third party has.
UNSIGNABLE = frozenset(
    [
        "alipay",
        "aws-sns",
        "circle",
        "discord",
        "ebay",
        "fireblocks",
        "neon",
        "paypal",
        "plaid",
        "sendgrid",
        "telnyx",
        "tokenio",
        "utila",
        "wechat-pay",
        "wix",
    ]
)


SIGNABLE = sorted(PROVIDERS.keys() - UNSIGNABLE)
NAMELESS = frozenset(["airtable", "dropbox", "twitter"])  # they say neither id nor type
TYPES = {"customerio": "sample.created_sample"}  # whose types have another shape


def blank(provider: Provider) -> Call:
    method = "POST" if "POST" in provider.methods else "PUT"
    return Call(method, "https://hub.example.com/in/1", {"content-type": JSON}, b"", NOW)


def source_of(name: str) -> Any:
    case = CASES[name]
    return make_source(provider=name, secret=case.secrets[0], options=dict(case.options))


@pytest.mark.django_db
@pytest.mark.parametrize("name", SIGNABLE)
def test_a_sample_is_what_the_provider_would_send(name: str) -> None:
    known = known_source(source_of(name))
    provider = known.provider
    call = sample_call(known, type_="a.b", now=NOW)
    secrets = known.valid_secrets(clock.now())
    assert isinstance(provider.verify(call, secrets, options=known.options), Verified)
    other = known_source(make_source(provider=name, secret=CASES[name].secrets[2],
                                     options=dict(CASES[name].options)))  # fmt: skip
    verdict = provider.verify(call, other.valid_secrets(clock.now()), options=known.options)
    assert not isinstance(verdict, Verified)


@pytest.mark.parametrize("name", SIGNABLE)
def test_a_sample_is_named_where_its_provider_names_it(name: str) -> None:
    provider, case = PROVIDERS[name], CASES[name]
    draft = provider.sample(blank(provider), Identity("id-1", "a_b.c"), case.options)
    call = provider.sign(draft, Secret("", case.secrets[0]), case.options)
    assert call is not None
    identity = provider.identify(call, case.options)
    assert identity.type == ("" if name in NAMELESS else "a_b.c")
    if name == "messagebird":  # whose id is made with the proof
        assert UUID(identity.external_id)
    elif identity.external_id:
        assert "id-1" in identity.external_id
    else:
        assert getattr(provider, "id", ()) == ()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", SIGNABLE)
def test_the_real_door_takes_each_sample(live_server: Any, settings: Any, name: str) -> None:
    settings.PUBLIC_URL = live_server.url
    source = source_of(name)
    result = send_sample(source=source)
    receipt = Receipt.objects.get()
    assert 200 <= result.status < 300
    assert receipt.status == "accepted"
    assert receipt.is_verified
    assert receipt.type == ("" if name in NAMELESS else TYPES.get(name, "sample.created"))
    shown = f"{result.headers}{result.body.decode()}{result.answer}"
    for secret in (source.secrets.get().secret, *CASES[name].secrets[0].split("|")[1:]):
        assert secret not in shown
        assert base64.b64encode(secret.encode()).decode() not in shown


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


def given(name: str, body: bytes, secret: str | None = None, **fields: Any) -> Call:
    """The sample with a body of someone's own."""
    case = CASES[name]
    source = make_source(
        provider=name, secret=secret or case.secrets[0], options=dict(case.options), **fields
    )
    return sample_call(known_source(source), body=body, now=NOW)


@pytest.mark.django_db
def test_a_body_of_ones_own_stays_as_it_is() -> None:
    body = b'{ "amount": 1.50,\n"id": 12345678901234567890 }'
    assert given("github", body).body == body
    assert given("twilio", body).headers["content-type"] == "application/json"
    assert given("hubspot", b"no JSON").body == b"no JSON"


@pytest.mark.django_db
def test_a_proof_in_the_body_is_written_into_ones_own() -> None:
    mailgun = orjson.loads(given("mailgun", b'{"event-data":{"event":"opened"}}').body)
    assert mailgun["event-data"] == {"event": "opened"}
    assert sorted(mailgun["signature"]) == ["signature", "timestamp", "token"]

    exact = given("exact-online", b'{ "Content": {"Topic": "Accounts", "Key": "a"} }').body
    content = b'{"Topic":"Accounts","Key":"a"}'
    digits = hmac.digest(b"the-first-secret", content, "sha256").hex().upper().encode()
    assert exact == b'{"Content":' + content + b',"HashCode":"' + digits + b'"}'

    treezor = given("treezor", '{"object_payload":{"name":"Zoë/1"}}'.encode())
    written = b'{"name":"Zo\\u00eb\\/1"}'
    assert orjson.loads(treezor.body)["object_payload_signature"] == based(written, "sha256")

    graph = given("microsoft-graph", b'{"value":[{"id":"1"},{"clientState":"[redacted]"}]}')
    assert [item["clientState"] for item in graph.json["value"]] == ["the-first-secret"] * 2


@pytest.mark.django_db
def test_adyen_signs_each_item_or_the_whole_body() -> None:
    items = [{"NotificationRequestItem": {"pspReference": text}} for text in ("a", "b")]
    signed = given("adyen", orjson.dumps({"notificationItems": items}))
    proofs = [item["NotificationRequestItem"]["additionalData"]["hmacSignature"]
              for item in signed.json["notificationItems"]]  # fmt: skip
    key = bytes.fromhex(CASES["adyen"].secrets[0])
    assert proofs == [based(text + b":::::::", "sha256", key) for text in (b"a", b"b")]

    body = b'{"type":"balancePlatform.transfer.created"}'
    platform = given("adyen", body)
    assert (platform.body, platform.headers["hmacsignature"]) == (body, based(body, "sha256", key))


@pytest.mark.django_db
@pytest.mark.parametrize("line", [b"", b"\n"])
def test_braintrees_xml_or_a_form_of_it_is_signed(line: bytes) -> None:
    xml = b"<notification><kind>check</kind></notification>"
    made = given("braintree", xml)
    assert base64.b64decode(made.form["bt_payload"]) == xml
    payload = base64.b64encode(xml) + line
    again = given("braintree", f"bt_payload={quote_plus(payload)}&bt_signature=old".encode())
    assert again.form["bt_payload"].encode() == payload
    key = hashlib.sha1(b"private1").digest()
    digits = hmac.digest(key, payload, "sha1").hex()
    assert again.form["bt_signature"] == f"public1|{digits}"


@pytest.mark.django_db
def test_twilios_form_and_its_json_are_signed_each_in_its_way() -> None:
    form = given("twilio", b"MessageStatus=sent&MessageSid=SM1")
    text = form.url.encode() + b"MessageSidSM1MessageStatussent"
    assert form.headers["x-twilio-signature"] == based(text, "sha1")

    body = b'[{"type":"sent"}]'
    hashed = given("twilio", body)
    assert hashed.url.endswith("?bodySHA256=" + hashlib.sha256(body).hexdigest())
    assert hashed.headers["x-twilio-signature"] == based(hashed.url.encode(), "sha1")


@pytest.mark.django_db
def test_gitlab_signs_with_a_signing_secret_and_else_sends_its_token() -> None:
    signed = given("gitlab", b"{}").headers
    assert "webhook-signature" in signed
    assert "x-gitlab-token" not in signed
    plain = given("gitlab", b"{}", secret="a-plain-token").headers
    assert plain["x-gitlab-token"] == "a-plain-token"
    assert plain["idempotency-key"]
    assert "webhook-signature" not in plain


@pytest.mark.django_db
def test_contentful_and_hook0_sign_their_headers() -> None:
    contentful = given("contentful", b"{}").headers
    assert contentful["x-contentful-signed-headers"] == (
        "x-contentful-idempotency-key,x-contentful-signed-headers,x-contentful-timestamp,"
        "x-contentful-topic"
    )
    assert ",h=x-event-type x-event-id,v1=" in given("hook0", b"{}").headers["x-hook0-signature"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "options", "token_at"),
    [("okta", {}, "authorization"), ("okta", {"header": "x-key"}, "x-key")],
)
def test_a_token_stands_in_the_header_that_the_source_names(
    name: str, options: dict[str, str], token_at: str
) -> None:
    source = make_source(provider=name, secret="the-token", options=options)
    assert sample_call(known_source(source), now=NOW).headers[token_at] == "the-token"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "body", "secret", "reason"),
    [
        ("mandrill", b"[]", None, "signature_mismatch"),
        ("mailgun", b"no JSON", None, "signature_missing"),
        ("exact-online", b"{}", None, "signature_missing"),
        ("treezor", b"no JSON", None, "signature_missing"),
        ("paymob", b"{}", None, "signature_mismatch"),
        ("adyen", b'{"notificationItems":[1]}', None, "signature_missing"),
        ("adyen", b"{}", "no hex", "signature_missing"),
        ("braintree", b"<a/>", "no-pair", "signature_missing"),
    ],
)
def test_what_the_door_would_refuse_is_not_sent(
    name: str, body: bytes, secret: str | None, reason: str
) -> None:
    with pytest.raises(SampleNotPossible) as raised:
        given(name, body, secret)
    assert raised.value.extra == {"reason": reason}
    assert str(raised.value) == f"the door would refuse it: {reason}"


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["generic-hmac", "convoy"])
def test_a_source_that_is_set_up_wrongly_has_no_sample(name: str) -> None:
    source = make_source(provider=name, options={"hash": "md5"})
    with pytest.raises(SampleNotPossible) as raised:
        sample_call(known_source(source), now=NOW)
    assert raised.value.extra == {"reason": "source_misconfigured"}


@pytest.mark.django_db
def test_a_public_key_cannot_sign() -> None:
    key = f"whpk_{base64.b64encode(bytes(32)).decode()}"
    with pytest.raises(SampleNotPossible) as raised:
        given("standard-webhooks", b"{}", secret=key)
    assert raised.value.extra == {"reason": "unsignable"}


def based(message: bytes, digest: str, key: bytes = b"the-first-secret") -> str:
    return base64.b64encode(hmac.digest(key, message, digest)).decode()
