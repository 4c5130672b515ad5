"""Each trap that is known of a third party and is not tested with its scheme elsewhere.

`docs/provider-traps.md` lists them all, with the name of the test for each.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization

from incoming.models import Receipt
from incoming.providers import PROVIDERS, Call, Cause, Verified
from incoming.providers.encoding import key_bytes
from tests.factories import make_source
from tests.incoming.calls import answer_of, base64_hmac, github_headers, hex_hmac, post

from .cases import BODY, NOW, URL, based, call, hexed, iso, mac, milliseconds, seconds, url_based
from .cases_of_keys import RSA, public, rsa_signature
from .cases_of_modules import adyen_body, adyen_item, praxis_body, praxis_call
from .cases_of_recipes import WHSEC_SECRETS
from .verdicts import cause_of, verdict_of

SECRET = "the-secret"
DOCS = Path(__file__).parents[3] / "docs" / "provider-traps.md"
PEM = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo


def digest(text: bytes, hash_name: str = "sha256") -> str:
    return hexed(mac(SECRET.encode(), text, hash_name))


# --- keys and encodings ---------------------------------------------------------------------------


def standard(key: bytes, prefix: str = "webhook") -> Call:
    text = f"m1.{seconds(NOW)}.".encode() + BODY
    return call(
        {
            f"{prefix}-id": "m1",
            f"{prefix}-timestamp": seconds(NOW),
            f"{prefix}-signature": "v1," + based(mac(key, text)),
        }
    )


@pytest.mark.parametrize(
    "name",
    ["clerk", "resend", "replicate", "openai", "lithic", "gemini", "bigcommerce", "shipbob"],
)
@pytest.mark.parametrize("prefix", ["webhook", "svix"])
def test_whoever_delivers_through_svix_may_use_either_prefix(name: str, prefix: str) -> None:
    key = base64.b64decode(WHSEC_SECRETS[0].removeprefix("whsec_"))
    assert cause_of(name, standard(key, prefix), WHSEC_SECRETS[0]) is None


def test_bigcommerces_client_secret_is_text_and_only_a_prefix_says_otherwise() -> None:
    text = base64.b64encode(b"k" * 24).decode()
    assert cause_of("bigcommerce", standard(text.encode()), text) is None
    assert cause_of("bigcommerce", standard(b"k" * 24), text) == Cause.SIGNATURE_MISMATCH
    assert key_bytes("whsec_", "whsec-or-text") is None


def test_airtables_key_is_decoded_first() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    right = {"x-airtable-content-mac": "hmac-sha256=" + mac(b"k" * 32, BODY).hex()}
    as_text = {"x-airtable-content-mac": "hmac-sha256=" + mac(key.encode(), BODY).hex()}
    assert cause_of("airtable", call(right), key) is None
    assert cause_of("airtable", call(as_text), key) == Cause.SIGNATURE_MISMATCH


@pytest.mark.parametrize("name", ["bitbucket", "jira"])
def test_atlassians_header_is_githubs_older_one_with_the_newer_hash(name: str) -> None:
    signature = f"sha256={digest(BODY)}"
    assert cause_of(name, call({"x-hub-signature": signature}), SECRET) is None
    assert cause_of(name, call({"x-hub-signature-256": signature}), SECRET) == (
        Cause.SIGNATURE_MISSING
    )
    older = {"x-hub-signature": f"sha1={digest(BODY, 'sha1')}"}
    assert cause_of(name, call(older), SECRET) == Cause.SIGNATURE_MALFORMED


def test_metas_older_signature_is_not_looked_at() -> None:
    older = {"x-hub-signature": f"sha1={digest(BODY, 'sha1')}"}
    assert cause_of("meta", call(older), SECRET) == Cause.SIGNATURE_MISSING


@pytest.mark.parametrize("name", ["postmark", "chargebee", "recurly", "pipedrive", "ethoca"])
def test_a_password_may_hold_colons(name: str) -> None:
    def sent(credentials: str) -> Call:
        return call({"authorization": "Basic " + based(credentials.encode())})

    assert cause_of(name, sent("user:pa:ss"), "user:pa:ss") is None
    assert cause_of(name, sent("user:pa"), "user:pa:ss") == Cause.CREDENTIALS_MISMATCH


def test_zendesks_public_test_secret_proves_nothing() -> None:
    published = "dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
    headers = {
        "x-zendesk-webhook-signature-timestamp": iso(NOW),
        "x-zendesk-webhook-signature": based(mac(published.encode(), iso(NOW).encode() + BODY)),
    }
    assert cause_of("zendesk", call(headers), SECRET) == Cause.SIGNATURE_MISMATCH


def test_adyens_values_are_joined_without_escaping() -> None:
    """Its key, besides, is hex."""
    key = "44" * 32
    plain = r"p\1:2/3::Merchant/1:order:1:1130:EUR:AUTHORISATION:true"
    escaped = r"p\\1\:2/3::Merchant/1:order\:1:1130:EUR:AUTHORISATION:true"
    for text, cause in ((plain, None), (escaped, Cause.SIGNATURE_MISMATCH)):
        item = adyen_item(key, pspReference=r"p\1:2/3")
        signature = based(mac(bytes.fromhex(key), text.encode()))
        item["NotificationRequestItem"]["additionalData"] = {"hmacSignature": signature}
        assert cause_of("adyen", call({}, adyen_body(item)), key) == cause


def test_solidgates_signature_is_base64_of_hex_digits() -> None:
    inner = mac(SECRET.encode(), b"wh_pk" + BODY + b"wh_pk", "sha512")
    right = {"merchant": "wh_pk", "signature": based(inner.hex().encode())}
    assert cause_of("solidgate", call(right), SECRET) is None
    of_bytes = {"merchant": "wh_pk", "signature": based(inner)}
    assert cause_of("solidgate", call(of_bytes), SECRET) == Cause.SIGNATURE_MALFORMED


@pytest.mark.parametrize("name", ["paystack", "smile"])
def test_paystack_and_smile_use_sha512(name: str) -> None:
    header = {"paystack": "x-paystack-signature", "smile": "smile-signature"}[name]
    assert cause_of(name, call({header: digest(BODY, "sha512")}), SECRET) is None
    assert cause_of(name, call({header: digest(BODY)}), SECRET) == Cause.SIGNATURE_MISMATCH


def test_tebex_signs_the_digits_of_a_hash() -> None:
    right = digest(hashlib.sha256(BODY).hexdigest().encode())
    assert cause_of("tebex", call({"x-signature": right}), SECRET) is None
    assert cause_of("tebex", call({"x-signature": digest(BODY)}), SECRET) == (
        Cause.SIGNATURE_MISMATCH
    )


def cloudinary(hash_name: str) -> Call:
    text = BODY + seconds(NOW).encode() + SECRET.encode()
    return call(
        {
            "x-cld-timestamp": seconds(NOW),
            "x-cld-signature": hashlib.new(hash_name, text).hexdigest(),
        }
    )


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
def test_cloudinarys_hash_is_told_by_its_length_or_the_source(hash_name: str) -> None:
    other = {"sha1": "sha256", "sha256": "sha1"}[hash_name]
    signed = cloudinary(hash_name)
    assert cause_of("cloudinary", signed, SECRET) is None
    assert cause_of("cloudinary", signed, SECRET, options={"hash": hash_name}) is None
    assert cause_of("cloudinary", signed, SECRET, options={"hash": other}) == (
        Cause.SIGNATURE_MISMATCH
    )


def test_cloudinary_has_two_hashes_and_no_third() -> None:
    PROVIDERS["cloudinary"].check_options({"hash": "sha256"})
    with pytest.raises(ValueError, match=r"^option 'hash' must be sha1 or sha256$"):
        PROVIDERS["cloudinary"].check_options({"hash": "md5"})


@pytest.mark.parametrize(
    ("name", "header", "form"),
    [
        ("knock", "x-knock-signature", "t={},s={}"),
        ("courier", "courier-signature", "t={},signature={}"),
        ("workos", "workos-signature", "t={}, v1={}"),
    ],
)
def test_a_time_in_seconds_is_no_time_in_milliseconds(name: str, header: str, form: str) -> None:
    """Read as milliseconds it lies in 1970."""
    for stamp, cause in ((milliseconds(NOW), None), (seconds(NOW), Cause.TIMESTAMP_TOO_OLD)):
        raw = mac(SECRET.encode(), f"{stamp}.".encode() + BODY)
        signature = based(raw) if name == "knock" else raw.hex()
        assert cause_of(name, call({header: form.format(stamp, signature)}), SECRET) == cause


def test_statsigs_and_revoluts_times_are_milliseconds() -> None:
    stamp = milliseconds(NOW)
    statsig = {
        "x-statsig-request-timestamp": stamp,
        "x-statsig-signature": "v0=" + digest(f"v0:{stamp}:".encode() + BODY),
    }
    revolut = {
        "revolut-request-timestamp": stamp,
        "revolut-signature": "v1=aa,v1=" + digest(f"v1.{stamp}.".encode() + BODY),
    }
    assert verdict_of("statsig", call(statsig), SECRET) == Verified("s0", NOW)
    assert verdict_of("revolut", call(revolut), SECRET) == Verified("s0", NOW)


def test_nmis_t_is_a_nonce_and_no_time() -> None:
    signed = {"webhook-signature": f"t=0,s={digest(b'0.' + BODY)}"}
    assert verdict_of("nmi", call(signed), SECRET) == Verified("s0", None)


# --- what is signed -------------------------------------------------------------------------------


def test_squares_url_is_the_one_that_was_registered() -> None:
    signature = based(mac(SECRET.encode(), URL.encode() + BODY))
    headers = {"x-square-hmacsha256-signature": signature, "host": "evil.example"}
    assert cause_of("square", call(headers), SECRET) is None
    assert cause_of("square", call(headers, url=URL + "/"), SECRET) == Cause.SIGNATURE_MISMATCH


def test_trello_signs_the_body_first_and_then_the_url() -> None:
    right, wrong = (
        based(mac(SECRET.encode(), text, "sha1"))
        for text in (BODY + URL.encode(), URL.encode() + BODY)
    )
    assert cause_of("trello", call({"x-trello-webhook": right}), SECRET) is None
    assert cause_of("trello", call({"x-trello-webhook": wrong}), SECRET) == (
        Cause.SIGNATURE_MISMATCH
    )


def test_favro_signs_an_id_and_the_url_but_not_the_body() -> None:
    signature = based(mac(SECRET.encode(), f"p1{URL}".encode(), "sha1"))
    headers = {"x-favro-webhook": signature}
    assert cause_of("favro", call(headers, b'{"payloadId":"p1"}'), SECRET) is None
    assert cause_of("favro", call(headers, b'{"payloadId":"p1","x":1}'), SECRET) is None
    assert cause_of("favro", call(headers, b'{"payloadId":"p2"}'), SECRET) == (
        Cause.SIGNATURE_MISMATCH
    )


def test_walmart_signs_method_path_and_query() -> None:
    stamp = seconds(NOW)
    text = f"POST\n/in/src_1?a=1\n{stamp}\n{hashlib.sha256(BODY).hexdigest()}"
    headers = {
        "wm-sec.timestamp": stamp,
        "wm-sec.signature": based(mac(SECRET.encode(), text.encode())),
    }
    assert cause_of("walmart", call(headers, url=f"{URL}?a=1"), SECRET) is None
    for changed in (call(headers, url=f"{URL}?a=2"), call(headers, url=f"{URL}?a=1", method="PUT")):
        assert cause_of("walmart", changed, SECRET) == Cause.SIGNATURE_MISMATCH


def test_a_cookie_that_the_same_key_signed_is_no_webhook_of_shopifys() -> None:
    """Shopify's apps sign their cookies with the client secret too."""
    cookie = "shopify_app_state=123456789012345"
    signature = based(mac(SECRET.encode(), b"123456789012345"))
    headers = {"x-shopify-hmac-sha256": signature, "cookie": f"{cookie}; {cookie}.sig={signature}"}
    assert cause_of("shopify", call(headers), SECRET) == Cause.SIGNATURE_MISMATCH
    only_cookie = {"cookie": f"{cookie}.sig={based(mac(SECRET.encode(), BODY))}"}
    assert cause_of("shopify", call(only_cookie), SECRET) == Cause.SIGNATURE_MISSING


def test_fronts_rules_sign_the_body_alone_with_sha1() -> None:
    rule = {"x-front-signature": based(mac(SECRET.encode(), BODY, "sha1"))}
    assert verdict_of("frontapp", call(rule), SECRET) == Verified("s0", None)
    stamp = {"x-front-request-timestamp": milliseconds(NOW)}
    assert cause_of("frontapp", call(rule | stamp), SECRET) == Cause.SIGNATURE_MISMATCH
    text = milliseconds(NOW).encode() + b":" + BODY
    of_an_app = {"x-front-signature": based(mac(SECRET.encode(), text))}
    assert cause_of("frontapp", call(of_an_app), SECRET) == Cause.SIGNATURE_MISMATCH
    assert cause_of("frontapp", call(of_an_app | stamp), SECRET) is None


def test_tiktok_shop_signs_the_apps_key_before_the_body() -> None:
    headers = {"authorization": digest(b"app-key" + BODY)}
    assert cause_of("tiktok-shop", call(headers), SECRET, options={"app": "app-key"}) is None
    assert cause_of("tiktok-shop", call(headers), SECRET, options={"app": "other"}) == (
        Cause.SIGNATURE_MISMATCH
    )
    assert cause_of("tiktok-shop", call(headers), SECRET) == Cause.SOURCE_MISCONFIGURED
    assert cause_of("tiktok", call(headers), SECRET) == Cause.SIGNATURE_MISSING


def test_exact_onlines_content_is_signed_as_it_stands() -> None:
    content = b'{"Topic":"Accounts",  "Key":"1"}'
    body = b'{"Content":%s,"HashCode":"%s"}' % (content, digest(content).upper().encode())
    assert cause_of("exact-online", call({}, body), SECRET) is None
    rewritten = body.replace(b",  ", b",")
    assert cause_of("exact-online", call({}, rewritten), SECRET) == Cause.SIGNATURE_MISMATCH


def test_praxis_signs_some_values_in_an_order_of_its_own() -> None:
    text = f"API-Testerapp-1{int(NOW)}abcorder-17USD100.001.2EUR120.00"
    assert verdict_of("praxis", praxis_call(SECRET, praxis_body(NOW), text, NOW), SECRET) == (
        Verified("s0", NOW)
    )
    not_signed = praxis_body(NOW, session={"order_id": "order-1", "variable1": "changed"})
    assert cause_of("praxis", praxis_call(SECRET, not_signed, text, NOW), SECRET) is None
    other = praxis_body(NOW, session={"order_id": "order-2"})
    assert cause_of("praxis", praxis_call(SECRET, other, text, NOW), SECRET) == (
        Cause.SIGNATURE_MISMATCH
    )


def test_praxis_subscriptions_have_another_order() -> None:
    payload = {
        "event": "PaymentSucceeded",
        "merchant_id": "m1",
        "application_key": "app-1",
        "cid": 3,
        "plan_id": 4,
        "subscription_id": 5,
        "subscription_status": "active",
        "timestamp": int(NOW),
    }
    text = f"PaymentSucceededm1app-1345active{int(NOW)}"
    signed = praxis_call(SECRET, json.dumps(payload).encode(), text, NOW)
    assert cause_of("praxis", signed, SECRET) is None
    assert PROVIDERS["praxis"].identify(signed).type == "PaymentSucceeded"


def alipay_call(signature: str, *, stamp: str = iso(NOW), client: str = "CLIENT-1") -> Call:
    headers = {
        "client-id": client,
        "request-time": stamp,
        "signature": f"algorithm=RSA256,keyVersion=1,signature={signature}",
    }
    return call(headers)


def alipay_signature(stamp: str = iso(NOW)) -> str:
    text = f"POST /in/src_1\nCLIENT-1.{stamp}.".encode() + BODY
    return based(rsa_signature(RSA[0], text))


@pytest.mark.parametrize(
    "written",
    [
        lambda text: text,
        lambda text: quote(text, safe=""),
        lambda text: text.translate(str.maketrans("+/", "-_")).rstrip("="),
    ],
    ids=["plain", "percent-encoded", "base64url"],
)
@pytest.mark.parametrize("stamp", [iso(NOW), milliseconds(NOW)])
def test_alipays_signature_is_written_in_many_ways(written: Any, stamp: str) -> None:
    key = public(RSA, PEM)[0]
    signed = alipay_call(written(alipay_signature(stamp)), stamp=stamp)
    assert verdict_of("alipay", signed, key) == Verified("s0", NOW)
    other = replace(signed, headers={**signed.headers, "client-id": "CLIENT-2"})
    assert cause_of("alipay", other, key) == Cause.SIGNATURE_MISMATCH


def test_alipays_algorithm_is_fixed() -> None:
    signed = alipay_call(alipay_signature())
    text = signed.headers["signature"].replace("RSA256", "ECC224")
    other = replace(signed, headers={**signed.headers, "signature": text})
    assert cause_of("alipay", other, public(RSA, PEM)[0]) == Cause.SIGNATURE_MALFORMED


# --- the status of a refusal ----------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("provider", "headers"),
    [
        ("xero", {"x-xero-signature": base64_hmac(b"another body")}),
        ("discord", {"x-signature-ed25519": "00" * 64, "x-signature-timestamp": "1"}),
        (
            "twitch",
            {
                "twitch-eventsub-message-signature": "sha256=" + "00" * 32,
                "twitch-eventsub-message-id": "m1",
                "twitch-eventsub-message-timestamp": "2026-01-01T00:00:00Z",
            },
        ),
    ],
)
def test_a_wrong_signature_is_answered_401(provider: str, headers: dict[str, str]) -> None:
    """Xero and Discord send some on purpose, and switch off whoever answers otherwise."""
    options: dict[str, Any] = {}
    if provider == "discord":
        options["secret"] = "ab" * 32
    response = post(make_source(provider=provider, **options), headers=headers)
    assert (response.status_code, answer_of(response)) == (401, {"cause": "signature_mismatch"})


@pytest.mark.django_db
def test_xeros_right_signature_is_answered_200() -> None:
    headers = {"x-xero-signature": base64_hmac(BODY)}
    assert post(make_source(provider="xero"), BODY, headers=headers).status_code == 200


# --- batches, pings and beats ---------------------------------------------------------------------


@pytest.mark.django_db
def test_gocardless_batch_is_one_receipt() -> None:
    body = json.dumps(
        {
            "events": [
                {"id": "EV1", "resource_type": "payments", "action": "paid"},
                {"id": "EV2", "resource_type": "mandates", "action": "created"},
            ]
        }
    ).encode()
    source = make_source(provider="gocardless")
    response = post(source, body, headers={"webhook-signature": hex_hmac(body)})
    assert (response.status_code, Receipt.objects.get().external_id) == (200, "EV1,EV2")


@pytest.mark.django_db
@pytest.mark.parametrize("provider", ["asana", "line"])
def test_an_empty_batch_is_an_ordinary_call(provider: str) -> None:
    """Asana's heartbeat and LINE's Verify: who does not answer 200 is given up."""
    body = b'{"events":[]}'
    headers = {
        "asana": {"x-hook-signature": hex_hmac(body)},
        "line": {"x-line-signature": base64_hmac(body)},
    }[provider]
    response = post(make_source(provider=provider), body, headers=headers)
    assert (response.status_code, Receipt.objects.get().external_id) == (200, "")


@pytest.mark.django_db
def test_an_empty_post_of_exact_online_is_answered_and_proves_nothing() -> None:
    source = make_source(provider="exact-online")
    assert post(source, b"", headers={}).status_code == 200
    receipt = Receipt.objects.get()
    assert (receipt.status, receipt.is_verified) == ("handshake", False)


@pytest.mark.django_db
def test_amazon_says_text_and_sends_json() -> None:
    """SNS sends JSON as text/plain, and so does Treezor."""
    source = make_source(provider="treezor")
    payload = {"path": "a/b"}
    signature = base64_hmac(rb'{"path":"a\/b"}')
    body = json.dumps(
        {
            "webhook": "payin.create",
            "object_payload": payload,
            "object_payload_signature": signature,
        }
    ).encode()
    response = post(source, body, headers={}, content_type="text/plain")
    assert (response.status_code, Receipt.objects.get().type) == (200, "payin.create")


def test_wixs_body_is_the_token_and_needs_no_header() -> None:
    header = url_based(b'{"alg":"HS256"}')
    claims = url_based(json.dumps({"data": "{}", "iat": NOW, "exp": NOW + 60}).encode())
    signature = url_based(mac(public(RSA, PEM)[0].encode(), f"{header}.{claims}".encode()))
    forged = call({}, f"{header}.{claims}.{signature}".encode())
    assert cause_of("wix", forged, public(RSA, PEM)[0]) == Cause.SIGNATURE_MALFORMED


@pytest.mark.parametrize(
    ("name", "headers", "body"),
    [
        ("auth0", {"authorization": SECRET}, b"[]"),
        ("auth0", {"authorization": f"Bearer {SECRET}"}, b"[]"),
        ("huggingface", {"x-webhook-secret": SECRET}, b"{}"),
        ("meraki", {}, b'{"sharedSecret":"the-secret"}'),
        ("ringcentral", {"verification-token": SECRET}, b"{}"),
    ],
)
def test_a_static_secret_is_compared_whole(name: str, headers: dict[str, str], body: bytes) -> None:
    assert cause_of(name, call(headers, body), SECRET) is None
    assert cause_of(name, call(headers, body), SECRET + "x") == Cause.CREDENTIALS_MISMATCH
    assert cause_of(name, call(headers, body), SECRET[:-1]) == Cause.CREDENTIALS_MISMATCH


def test_salesforces_organisation_counts_by_its_first_fifteen_characters() -> None:
    url, body = f"{URL}?token={SECRET}", b"<OrganizationId>00D000000000001EAA</OrganizationId>"
    for organization, cause in (
        ("", None),
        ("00D000000000001", None),
        ("00D000000000001EAA", None),
        ("00D000000000002", Cause.CREDENTIALS_MISMATCH),
    ):
        options = {"organization_id": organization}
        assert cause_of("salesforce", call({}, body, url=url), SECRET, options=options) == cause
    options = {"organization_id": "00D000000000001"}
    assert cause_of("salesforce", call({}, body), SECRET, options=options) == (
        Cause.SIGNATURE_MISSING
    )
    assert cause_of("salesforce", call({}, b"", url=url), SECRET, options=options) == (
        Cause.CREDENTIALS_MISMATCH
    )


def test_gitlab_may_sign_a_call_of_a_source_that_knows_the_token_only() -> None:
    signed = standard(b"a key of another's")
    with_token = replace(signed, headers={**signed.headers, "x-gitlab-token": SECRET})
    assert cause_of("gitlab", with_token, SECRET) is None
    assert cause_of("gitlab", with_token, "other") == Cause.CREDENTIALS_MISMATCH
    assert cause_of("gitlab", with_token, SECRET, WHSEC_SECRETS[0]) == Cause.SIGNATURE_MISMATCH


# --- the rules that follow ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PROVIDERS))
def test_a_header_that_is_not_signed_is_said_not_to_be(name: str) -> None:
    facts = dict(PROVIDERS[name].facts())
    text = facts.get("Event type", "")
    for header in re.findall(r"`(header:[^`]+)`( \(not signed\))?", text):
        assert header[1] or header[0] in {"header:webhook-id"}, header


@pytest.mark.django_db
def test_takes_a_body_above_djangos_own_limit() -> None:
    """2.5 MiB, beyond which Django itself answers 400."""
    body = b'{"a":"' + b"x" * 2_700_000 + b'"}'
    response = post(make_source(), body, headers=github_headers(body))
    assert response.status_code == 200
    assert len(bytes(Receipt.objects.get().body)) == len(body)


# --- the list of them all -------------------------------------------------------------------------


def _listed() -> list[tuple[str, str, str]]:
    row = re.compile(r"^\| (?P<trap>[^|]+) \| `(?P<file>[\w/]+\.py)::(?P<test>\w+)` \|$", re.M)
    return [
        (found["trap"], found["file"], found["test"]) for found in row.finditer(DOCS.read_text())
    ]


def test_the_list_is_not_empty_and_every_row_names_a_test() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| ")]
    headings = [row for row in rows if row.startswith(("| Trap ", "| --- "))]
    assert len(_listed()) == len(rows) - len(headings) > 100


@pytest.mark.parametrize(("file", "test"), sorted({(row[1], row[2]) for row in _listed()}))
def test_every_test_in_the_list_exists(file: str, test: str) -> None:
    source = (Path(__file__).parents[3] / "tests" / file).read_text()
    assert re.search(rf"^def {test}\(", source, re.MULTILINE)


@pytest.mark.parametrize(
    "name", ["traps", "identities", "calls_by_get", "acknowledgements", "encrypted_data"]
)
def test_every_test_of_a_trap_is_in_the_list(name: str) -> None:
    file = Path(__file__).with_name(f"test_{name}.py")
    mine = set(re.findall(r"^def (test_\w+)\(", file.read_text(), re.MULTILINE))
    of_the_list = {test for test in mine if "_the_list" in test}
    listed = {row[2] for row in _listed() if row[1] == f"incoming/providers/{file.name}"}
    assert mine - of_the_list == listed
