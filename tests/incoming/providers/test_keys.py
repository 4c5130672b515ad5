"""Tokens, certificates and public keys: PayPal, SNS, Plaid and the others that use them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from incoming.providers import PROVIDERS, Call, Cause, Refused, Secret, Verified, pinned
from incoming.providers.public_key import load_public_key

from .cases import BODY, NOW, URL, based, call, mac, url_based
from .cases_of_keys import (
    _DER,
    _PEM,
    _RAW,
    CASES,
    CERT_URL,
    ED25519,
    P256,
    RSA,
    TOPIC,
    es256,
    public,
    sns_body,
    token,
    wix_body,
)
from .cases_of_modules import (
    BRAINTREE_KEYS,
    FORM_TYPE,
    braintree_body,
    braintree_signature,
    hs_token,
    messagebird_claims,
)

Fetch = Callable[..., bytes | None]


def verdict_of(name: str, signed: Call, *values: str, **options: str) -> Verified | Refused:
    secrets = [Secret(id=f"s{number}", value=value) for number, value in enumerate(values)]
    return PROVIDERS[name].verify(signed, secrets, options=options)


def cause_of(name: str, signed: Call, *values: str, **options: str) -> Cause | None:
    verdict = verdict_of(name, signed, *values, **options)
    return verdict.cause if isinstance(verdict, Refused) else None


def certificate(name: str, *, starts: float = NOW - 1000, ends: float = NOW + 1000) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(RSA[0].public_key())
        .serial_number(1)
        .not_valid_before(datetime.fromtimestamp(starts, UTC))
        .not_valid_after(datetime.fromtimestamp(ends, UTC))
        .sign(RSA[0], hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | None]:
    """What the pinned hosts answer, by URL; nothing else can be fetched."""
    known: dict[str, bytes | None] = {}

    def fetch(url: str, *, host: str, **rest: Any) -> bytes | None:
        assert pinned.is_pinned(url, host)
        return known[url]

    monkeypatch.setattr(pinned, "fetch", fetch)
    return known


# PayPal

WEBHOOK_ID = CASES["paypal"].secrets[0]


def paypal_call(**changes: str) -> Call:
    signed = CASES["paypal"].sign(WEBHOOK_ID, BODY, NOW)
    changed = {name.replace("_", "-"): value for name, value in changes.items()}
    return replace(signed, headers={**signed.headers, **changed})


def test_paypals_certificate_is_fetched_and_must_name_paypal(
    answers: dict[str, bytes | None],
) -> None:
    for name, cause in (
        ("messageverificationcerts.paypal.com", None),
        ("paypal.com.evil.example", Cause.KEY_UNAVAILABLE),
        ("evilpaypal.com", Cause.KEY_UNAVAILABLE),
    ):
        answers[CERT_URL] = certificate(name)
        assert cause_of("paypal", paypal_call(), WEBHOOK_ID) == cause


@pytest.mark.parametrize(("starts", "ends"), [(-2000, -1), (1, 2000)])
def test_paypals_certificate_must_be_valid_on_arrival(
    answers: dict[str, bytes | None], starts: int, ends: int
) -> None:
    answers[CERT_URL] = certificate("x.paypal.com", starts=NOW + starts, ends=NOW + ends)
    assert cause_of("paypal", paypal_call(), WEBHOOK_ID) == Cause.KEY_UNAVAILABLE


@pytest.mark.parametrize("answer", [None, b"", b"not a certificate"])
def test_paypal_without_a_certificate_is_refused(
    answers: dict[str, bytes | None], answer: bytes | None
) -> None:
    answers[CERT_URL] = answer
    assert cause_of("paypal", paypal_call(), WEBHOOK_ID) == Cause.KEY_UNAVAILABLE


@pytest.mark.parametrize(
    "url",
    [
        "http://api.paypal.com/cert",
        "https://api.paypal.com.evil.example/cert",
        "https://evilpaypal.com/cert",
        "https://evil.example/api.paypal.com/cert",
        "https://api.paypal.com@evil.example/cert",
        "https://evil.example\\@api.paypal.com/cert",
        "https://evil.example#api.paypal.com/cert",
        "https://api.paypal.com:8443/cert",
        "https://api.paypal.com",
        "",
    ],
)
def test_paypals_certificate_comes_from_paypal_only_even_when_it_is_pinned(url: str) -> None:
    pinned_key = public(RSA, _PEM)[0]
    signed = paypal_call(paypal_cert_url=url)
    assert cause_of("paypal", signed, WEBHOOK_ID, pinned_key) == Cause.SIGNATURE_MALFORMED


def test_paypals_algorithm_is_fixed() -> None:
    signed = paypal_call(paypal_auth_algo="SHA1withRSA")
    assert cause_of("paypal", signed, WEBHOOK_ID, public(RSA, _PEM)[0]) == (
        Cause.SIGNATURE_MALFORMED
    )


# Amazon SNS

PINNED = public(RSA, _PEM)[0]


def sns(body: bytes, *secrets: str, topic: str = TOPIC) -> Cause | None:
    return cause_of("aws-sns", call({}, body), *(secrets or (PINNED,)), topic_arn=topic)


def changed(body: bytes, **fields: Any) -> bytes:
    return json.dumps(json.loads(body) | fields).encode()


@pytest.mark.parametrize("version", ["1", "2"])
def test_sns_signs_with_sha1_or_sha256(version: str) -> None:
    assert sns(sns_body(RSA[0], NOW, version=version, Subject="about")) is None


def test_snss_version_is_not_for_the_caller_to_choose() -> None:
    body = sns_body(RSA[0], NOW, version="1")
    assert sns(changed(body, SignatureVersion="2")) == Cause.SIGNATURE_MISMATCH
    assert sns(changed(body, SignatureVersion="3")) == Cause.SIGNATURE_MALFORMED


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-east-1.amazonaws.com/x.pem",
        "https://internetbadguys.com/cert.pem",
        "https://sns.us-east-1.amazonaws.com.evil.example/x.pem",
        "https://sns.evil.example/sns.us-east-1.amazonaws.com/x.pem",
        "https://evilsns.us-east-1.amazonaws.com/x.pem",
        "https://s3.us-east-1.amazonaws.com/x.pem",
        "https://sns.us-east-1.amazonaws.com/x.txt",
        "https://sns.us-east-1.amazonaws.com@evil.example/x.pem",
        "",
        None,
        7,
    ],
)
def test_snss_certificate_comes_from_amazon_only_even_when_it_is_pinned(url: Any) -> None:
    assert sns(changed(sns_body(RSA[0], NOW), SigningCertURL=url)) == Cause.SIGNATURE_MALFORMED


def test_lambdas_spelling_of_the_url_is_known() -> None:
    message = json.loads(sns_body(RSA[0], NOW))
    message["SigningCertUrl"] = message.pop("SigningCertURL")
    assert sns(json.dumps(message).encode()) is None


def test_snss_certificate_is_fetched_where_none_is_pinned(
    answers: dict[str, bytes | None],
) -> None:
    body = sns_body(RSA[0], NOW)
    answers[json.loads(body)["SigningCertURL"]] = certificate("sns.amazonaws.com")
    verdict = verdict_of("aws-sns", call({}, body), topic_arn=TOPIC)
    assert verdict == Verified(secret_id="", signed_at=NOW)


def test_a_right_signature_of_another_topic_is_refused_before_anything_is_fetched() -> None:
    body = sns_body(RSA[0], NOW, TopicArn="arn:aws:sns:eu-west-1:666666666666:evil")
    assert sns(body) == Cause.CREDENTIALS_MISMATCH
    assert cause_of("aws-sns", call({}, body)) == Cause.SOURCE_MISCONFIGURED
    assert sns(sns_body(RSA[0], NOW), topic=f"arn:other, {TOPIC}") is None


@pytest.mark.parametrize("field", ["Subject", "Token", "SubscribeURL"])
def test_nothing_can_be_added_to_a_signed_message(field: str) -> None:
    assert sns(changed(sns_body(RSA[0], NOW), **{field: "x"})) == Cause.SIGNATURE_MISMATCH


@pytest.mark.parametrize("fields", [{"Message": 7}, {"Type": "Other"}, {"Timestamp": None}])
def test_a_message_that_is_none_is_malformed(fields: dict[str, Any]) -> None:
    assert sns(changed(sns_body(RSA[0], NOW), **fields)) == Cause.SIGNATURE_MALFORMED


def test_raw_delivery_carries_no_signature() -> None:
    assert sns(b"thing made") == Cause.SIGNATURE_MISSING


# Plaid


def plaid_call(claims: dict[str, Any], header: dict[str, Any] | None = None) -> Call:
    payload = json.dumps(claims).encode()
    text = token(header or {"alg": "ES256", "kid": "k1"}, payload, es256(P256[0]))
    return call({"plaid-verification": text})


PLAID = {"iat": int(NOW), "request_body_sha256": hashlib.sha256(BODY).hexdigest()}
PLAID_KEY = public(P256, _PEM)[0]


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES512", None, ["ES256"]])
def test_plaids_algorithm_is_fixed(algorithm: Any) -> None:
    signed = plaid_call(PLAID, {"alg": algorithm, "kid": "k1"})
    assert cause_of("plaid", signed, PLAID_KEY) == Cause.SIGNATURE_MALFORMED


def test_a_public_key_never_serves_as_an_hmac_key() -> None:
    text = hs_token(PLAID_KEY, PLAID)
    assert cause_of("plaid", call({"plaid-verification": text}), PLAID_KEY) == (
        Cause.SIGNATURE_MALFORMED
    )


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"request_body_sha256": PLAID["request_body_sha256"]}, Cause.TIMESTAMP_MISSING),
        (PLAID | {"iat": "1750000000"}, Cause.TIMESTAMP_MALFORMED),
        (PLAID | {"iat": True}, Cause.TIMESTAMP_MALFORMED),
        (PLAID | {"iat": int(NOW) - 301}, Cause.TIMESTAMP_TOO_OLD),
        (PLAID | {"iat": int(NOW) + 301}, Cause.TIMESTAMP_IN_FUTURE),
        (PLAID | {"request_body_sha256": "00"}, Cause.SIGNATURE_MISMATCH),
        (PLAID | {"request_body_sha256": None}, Cause.SIGNATURE_MISMATCH),
        ({"iat": int(NOW)}, Cause.SIGNATURE_MISMATCH),
    ],
)
def test_plaids_claims_are_checked(claims: dict[str, Any], cause: Cause) -> None:
    assert cause_of("plaid", plaid_call(claims), PLAID_KEY) == cause


def jwk(number: int = 0) -> dict[str, Any]:
    numbers = P256[number].public_key().public_numbers()
    x, y = (url_based(value.to_bytes(32)) for value in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": "k1", "alg": "ES256"}


def test_plaids_key_may_be_pinned_as_jwk() -> None:
    assert cause_of("plaid", plaid_call(PLAID), json.dumps(jwk())) is None


def test_plaids_key_is_asked_from_its_api(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def fetch(url: str, **rest: Any) -> bytes:
        asked.append({"url": url, **rest})
        return json.dumps({"key": {**jwk(), "expired_at": None}}).encode()

    monkeypatch.setattr(pinned, "fetch", fetch)
    verdict = verdict_of("plaid", plaid_call(PLAID), "client:s:ecret", environment="sandbox")
    assert verdict == Verified(secret_id="s0", signed_at=NOW)
    assert asked[0]["url"] == "https://sandbox.plaid.com/webhook_verification_key/get"
    assert asked[0]["json"] == {"client_id": "client", "secret": "s:ecret", "key_id": "k1"}


@pytest.mark.parametrize(
    "answer",
    [None, b"{}", b"[]", b"nonsense", json.dumps({"key": {**jwk(), "expired_at": 1}}).encode()],
)
def test_plaid_without_a_living_key_is_refused(
    monkeypatch: pytest.MonkeyPatch, answer: bytes | None
) -> None:
    monkeypatch.setattr(pinned, "fetch", lambda url, **rest: answer)
    assert cause_of("plaid", plaid_call(PLAID), "client:secret") == Cause.KEY_UNAVAILABLE


# Tokens in general


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + "=",
        lambda text: text.replace(".", "..", 1),
        lambda text: text + ".x",
        lambda text: text[: text.rindex(".") + 1],
        lambda text: "x" * 20_000,
        lambda text: "." * 5,
    ],
)
def test_a_token_that_is_none_is_malformed(spoil: Callable[[str], str]) -> None:
    text = hs_token("secret", messagebird_claims(BODY))
    signed = call({"messagebird-signature-jwt": spoil(text)})
    assert cause_of("messagebird", signed, "secret") == Cause.SIGNATURE_MALFORMED


def test_a_token_with_extensions_that_must_be_understood_is_refused() -> None:
    header = {"alg": "ES256", "kid": "k1", "crit": ["b64"], "b64": False}
    assert cause_of("plaid", plaid_call(PLAID, header), PLAID_KEY) == Cause.SIGNATURE_MALFORMED


def test_a_detached_token_holds_no_payload_of_its_own() -> None:
    signed = CASES["fireblocks"].sign(PINNED, BODY, NOW)
    header = signed.headers["fireblocks-webhook-signature"].replace("..", f".{url_based(b'x')}.")
    forged = replace(signed, headers={"fireblocks-webhook-signature": header})
    assert cause_of("fireblocks", forged, PINNED) == Cause.SIGNATURE_MALFORMED


def test_fireblocks_key_is_chosen_by_its_id(answers: dict[str, bytes | None]) -> None:
    keys = []
    for number, key in enumerate(RSA[:2]):
        numbers = key.public_key().public_numbers()
        n, e = numbers.n.to_bytes(256), numbers.e.to_bytes(3)
        keys.append({"kty": "RSA", "kid": f"k{number + 1}", "n": url_based(n), "e": url_based(e)})
    url = "https://keys.fireblocks.io/.well-known/jwks.json"
    answers[url] = json.dumps({"keys": keys}).encode()
    first = CASES["fireblocks"].sign(PINNED, BODY, NOW)
    second = CASES["fireblocks"].sign(public(RSA, _PEM)[1], BODY, NOW)  # says k1 all the same
    assert verdict_of("fireblocks", first) == Verified("")
    assert cause_of("fireblocks", second) == Cause.SIGNATURE_MISMATCH


def test_fireblocks_older_signature_is_checked_with_a_pinned_key() -> None:
    from cryptography.hazmat.primitives.asymmetric import padding

    signature = RSA[0].sign(BODY, padding.PKCS1v15(), hashes.SHA512())
    signed = call({"fireblocks-signature": based(signature)})
    assert cause_of("fireblocks", signed, PINNED) is None
    assert cause_of("fireblocks", signed) == Cause.SECRET_MISSING


# MessageBird


def bird(claims: dict[str, Any], body: bytes = BODY, url: str = URL, **how: str) -> Cause | None:
    text = hs_token("secret", claims, **how)
    return cause_of(
        "messagebird", call({"messagebird-signature-jwt": text}, body, url=url), "secret"
    )


@pytest.mark.parametrize("bits", ["256", "384", "512"])
def test_messagebirds_three_algorithms(bits: str) -> None:
    how = {"algorithm": f"HS{bits}", "digest": f"sha{bits}"}
    assert bird(messagebird_claims(BODY), **how) is None


@pytest.mark.parametrize("algorithm", ["none", "None", "HS1", "RS256"])
def test_messagebirds_other_algorithms_are_refused(algorithm: str) -> None:
    assert bird(messagebird_claims(BODY), algorithm=algorithm) == Cause.SIGNATURE_MALFORMED


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"iss": "Other"}, Cause.SIGNATURE_MISMATCH),
        ({"url_hash": None}, Cause.SIGNATURE_MISMATCH),
        ({"payload_hash": None}, Cause.SIGNATURE_MISMATCH),
        ({"payload_hash": "00"}, Cause.SIGNATURE_MISMATCH),
        ({"nbf": None}, Cause.TIMESTAMP_MISSING),
        ({"exp": "1"}, Cause.TIMESTAMP_MISSING),
        ({"nbf": int(NOW) + 2}, Cause.TIMESTAMP_IN_FUTURE),
        ({"exp": int(NOW) - 1}, Cause.TIMESTAMP_TOO_OLD),
        ({"exp": int(NOW)}, None),
    ],
)
def test_messagebirds_claims_are_checked(change: dict[str, Any], cause: Cause | None) -> None:
    assert bird(messagebird_claims(BODY) | change) == cause


def test_messagebirds_body_can_be_neither_added_nor_taken_away() -> None:
    assert bird(messagebird_claims(b""), b"") is None
    assert bird(messagebird_claims(b""), BODY) == Cause.SIGNATURE_MISMATCH
    assert bird(messagebird_claims(BODY), b"") == Cause.SIGNATURE_MISMATCH


def test_messagebirds_url_is_ours_to_the_letter() -> None:
    claims = messagebird_claims(BODY, url=f"{URL}?a=1&b=2")
    assert bird(claims, url=f"{URL}?a=1&b=2") is None
    assert bird(claims, url=f"{URL}?b=2&a=1") == Cause.SIGNATURE_MISMATCH


def test_messagebirds_token_has_the_id() -> None:
    text = hs_token("secret", messagebird_claims(BODY))
    signed = call({"messagebird-signature-jwt": text})
    assert PROVIDERS["messagebird"].identify(signed).external_id == "jti-1"


# monday.com, Wix, Braintree


@pytest.mark.parametrize(
    ("claims", "cause"),
    [
        ({"exp": int(NOW) + 1}, None),
        ({"exp": int(NOW) + 1, "aud": "https://elsewhere.example/"}, Cause.SIGNATURE_MISMATCH),
        ({"exp": int(NOW) - 31}, Cause.TIMESTAMP_TOO_OLD),
        ({}, Cause.TIMESTAMP_MISSING),
        ({"iat": int(NOW)}, None),
        ({"iat": int(NOW) - 301}, Cause.TIMESTAMP_TOO_OLD),
    ],
)
def test_mondays_claims_are_checked(claims: dict[str, Any], cause: Cause | None) -> None:
    signed = call({"authorization": f"Bearer {hs_token('secret', claims)}"})
    assert cause_of("monday", signed, "secret") == cause


def test_wixs_event_is_json_in_json_in_the_token() -> None:
    signed = call({}, wix_body(RSA[0], NOW))
    identity = PROVIDERS["wix"].identify(signed)
    assert (identity.external_id, identity.type) == ("evt_1", "wix.ecom.v1.order_created")


def test_braintrees_signature_belongs_to_the_public_key_beside_it() -> None:
    right = braintree_body(BRAINTREE_KEYS[0])
    other_name = right.replace(b"public1", b"public2")
    assert cause_of("braintree", call(FORM_TYPE, right), BRAINTREE_KEYS[0]) is None
    assert cause_of("braintree", call(FORM_TYPE, other_name), BRAINTREE_KEYS[0]) == (
        Cause.SIGNATURE_MISMATCH
    )
    several = right.replace(b"bt_signature=", b"bt_signature=public2%7C00%26")
    assert cause_of("braintree", call(FORM_TYPE, several), BRAINTREE_KEYS[0]) is None


def test_braintrees_lost_line_break_is_put_back() -> None:
    from urllib.parse import urlencode

    fields = {
        "bt_signature": braintree_signature(BRAINTREE_KEYS[0], "eA==\n"),
        "bt_payload": "eA==",
    }
    signed = call(FORM_TYPE, urlencode(fields).encode())
    assert cause_of("braintree", signed, BRAINTREE_KEYS[0]) is None


def test_braintrees_kind_is_in_the_payload() -> None:
    signed = call(FORM_TYPE, braintree_body(BRAINTREE_KEYS[0]))
    assert PROVIDERS["braintree"].identify(signed).type == "subscription_canceled"


# SendGrid


def test_sendgrids_line_break_at_the_end_is_signed() -> None:
    body = b"[]\r\n"
    signed = CASES["sendgrid"].sign(public(P256, _DER)[0], body, NOW)
    assert cause_of("sendgrid", signed, public(P256, _DER)[0]) is None
    trimmed = replace(signed, body=body.strip())
    assert cause_of("sendgrid", trimmed, public(P256, _DER)[0]) == Cause.SIGNATURE_MISMATCH


# Keys in all their forms


def test_a_key_is_read_in_every_form() -> None:
    hexed = public(ED25519, _RAW)[0]
    raw = bytes.fromhex(hexed)
    okp = json.dumps({"kty": "OKP", "crv": "Ed25519", "x": url_based(raw)})
    pem = public(ED25519, _PEM)[0]
    forms = [
        hexed,
        hexed.upper(),
        based(raw),
        url_based(raw),
        f"whpk_{based(raw)}",
        f"whsk_{based(bytes([1]) * 32 + raw)}",
        okp,
        pem,
        pem.replace("\n", "\\n"),
        public(ED25519, _DER)[0],
    ]
    keys = [load_public_key(form) for form in forms]
    assert all(key is not None and key.public_bytes_raw() == raw for key in keys)  # type: ignore[union-attr]


def test_what_is_no_key_of_a_kind_that_is_used_is_none() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    short = small.public_bytes(*_PEM).decode()
    for text in (
        "",
        "nonsense",
        "é",
        "{}",
        '{"keys":[]}',
        '{"kty":"EC","crv":"P-256"}',
        "-----BEGIN",
        short,
        "A" * 100_000,
        based(mac(b"k", b"m") + b"x"),
    ):
        assert load_public_key(text) is None


def test_a_signature_of_another_algorithm_is_no_exception() -> None:
    signed = CASES["circle"].sign(public(P256, _DER)[0], BODY, NOW)
    assert cause_of("circle", signed, PINNED) == Cause.SIGNATURE_MISMATCH
    assert cause_of("circle", signed, public(ED25519, _RAW)[0]) == Cause.SIGNATURE_MISMATCH
