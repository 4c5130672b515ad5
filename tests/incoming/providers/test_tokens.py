"""Signed tokens (JWS), and what their claims have to say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes

from incoming.providers import PROVIDERS, Call, Cause, Verified, pinned

from .cases import BODY, NOW, URL, based, call, url_based
from .cases_of_keys import (
    _PEM,
    CASES,
    P256,
    RSA,
    es256,
    public,
    token,
    wix_body,
)
from .cases_of_modules import (
    hs_token,
    messagebird_claims,
)
from .verdicts import cause_of, verdict_of

PINNED = public(RSA, _PEM)[0]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes | None]:
    """What the pinned hosts answer, by URL; nothing else can be fetched."""
    known: dict[str, bytes | None] = {}

    def fetch(url: str, *, host: str, **rest: Any) -> bytes | None:
        assert pinned.is_pinned(url, host)
        return known[url]

    monkeypatch.setattr(pinned, "fetch", fetch)
    return known


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
    verdict = verdict_of(
        "plaid", plaid_call(PLAID), "client:s:ecret", options={"environment": "sandbox"}
    )
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
