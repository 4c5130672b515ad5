"""Public keys in all their forms, and Braintree, whose signature stands beside one."""

from __future__ import annotations

import json
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import rsa

from incoming.providers import PROVIDERS, Cause
from incoming.providers.public_key import load_public_key

from .cases import BODY, NOW, based, call, mac, url_based
from .cases_of_keys import (
    _DER,
    _PEM,
    _RAW,
    CASES,
    ED25519,
    P256,
    RSA,
    public,
)
from .cases_of_modules import (
    BRAINTREE_KEYS,
    FORM_TYPE,
    braintree_body,
    braintree_signature,
)
from .verdicts import cause_of

PINNED = public(RSA, _PEM)[0]


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
        pem.replace("\n", ""),
        pem.replace("\n", " "),
        pem.replace("\n", "\r\n"),
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


# SendGrid


def test_sendgrids_line_break_at_the_end_is_signed() -> None:
    body = b"[]\r\n"
    signed = CASES["sendgrid"].sign(public(P256, _DER)[0], body, NOW)
    assert cause_of("sendgrid", signed, public(P256, _DER)[0]) is None
    trimmed = replace(signed, body=body.strip())
    assert cause_of("sendgrid", trimmed, public(P256, _DER)[0]) == Cause.SIGNATURE_MISMATCH


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
