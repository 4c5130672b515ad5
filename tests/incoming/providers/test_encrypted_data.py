"""Data that stays encrypted until a handler opens it, and the tokens that come along."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import padding as symmetric_padding
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from incoming.providers import Call, Cause, pinned
from incoming.providers.microsoft_graph import open_content
from incoming.providers.wechat_pay import open_resource

from .cases import BODY, NOW, based, call, mac, url_based
from .cases_of_keys import RSA, private_pem, rsa_signature, token
from .verdicts import cause_of

SECRET = "the-secret"


APP = "11111111-2222-3333-4444-555555555555"
KEYS_URL = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
CLAIMS = {
    "aud": APP,
    "tid": "tenant-1",
    "iss": "https://sts.windows.net/tenant-1/",
    "appid": "0bf30f3b-4a52-48df-9a82-234910c4a086",
    "nbf": int(NOW),
    "exp": int(NOW) + 3600,
}


@pytest.fixture
def microsofts_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = RSA[0].public_key().public_numbers()
    n, e = url_based(numbers.n.to_bytes(256)), url_based(numbers.e.to_bytes(3))
    keys = {"keys": [{"kty": "RSA", "kid": "k1", "n": n, "e": e}]}

    def fetch(url: str, *, host: str) -> bytes:
        assert url == KEYS_URL
        assert pinned.is_pinned(url, host)
        return json.dumps(keys).encode()

    monkeypatch.setattr(pinned, "fetch", fetch)


def rich(*claims: dict[str, Any], kid: str = "k1", key: int = 0, tenant: str = "tenant-1") -> Call:
    """A notification with resource data, and a validation token for each of the claims."""
    texts = [
        token(
            {"alg": "RS256", "kid": kid},
            json.dumps(of_one).encode(),
            lambda message: rsa_signature(RSA[key], message),
        )
        for of_one in claims
    ]
    item = {"clientState": SECRET, "tenantId": tenant, "encryptedContent": {"data": "…"}}
    return call({}, json.dumps({"value": [item], "validationTokens": texts}).encode())


def graph(asked: Call) -> Cause | None:
    return cause_of("microsoft-graph", asked, SECRET, options={"app_id": APP})


@pytest.mark.usefixtures("microsofts_keys")
def test_graphs_resource_data_comes_with_a_token_for_our_app() -> None:
    newer = CLAIMS | {
        "iss": "https://login.microsoftonline.com/tenant-1/v2.0",
        "azp": CLAIMS["appid"],
        "appid": None,
    }
    assert graph(rich(CLAIMS)) is None
    assert graph(rich(newer)) is None
    assert graph(rich()) == Cause.SIGNATURE_MISSING
    assert graph(rich(CLAIMS, kid="k2")) == Cause.KEY_UNAVAILABLE
    assert graph(rich(CLAIMS, key=1)) == Cause.SIGNATURE_MISMATCH
    assert graph(rich(CLAIMS, tenant="tenant-2")) == Cause.SIGNATURE_MISMATCH
    assert graph(rich(CLAIMS, CLAIMS | {"aud": "another"})) == Cause.SIGNATURE_MISMATCH


@pytest.mark.usefixtures("microsofts_keys")
@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"aud": "another"}, Cause.SIGNATURE_MISMATCH),
        ({"appid": "another"}, Cause.SIGNATURE_MISMATCH),
        ({"iss": "https://evil.example/tenant-1/"}, Cause.SIGNATURE_MISMATCH),
        ({"tid": "tenant-2"}, Cause.SIGNATURE_MISMATCH),
        ({"exp": int(NOW) - 301}, Cause.TIMESTAMP_TOO_OLD),
        ({"nbf": int(NOW) + 301}, Cause.TIMESTAMP_IN_FUTURE),
    ],
)
def test_the_claims_of_graphs_tokens_are_checked(change: dict[str, Any], cause: Cause) -> None:
    assert graph(rich(CLAIMS | change)) == cause


@pytest.mark.usefixtures("microsofts_keys")
def test_graphs_token_must_end() -> None:
    endless = {name: value for name, value in CLAIMS.items() if name != "exp"}
    assert graph(rich(endless)) == Cause.TIMESTAMP_MISSING


def test_graph_without_resource_data_needs_no_token() -> None:
    thin = call({}, b'{"value":[{"clientState":"the-secret","tenantId":"tenant-1"}]}')
    assert graph(thin) is None
    assert cause_of("microsoft-graph", rich(), SECRET) is None
    assert graph(replace(thin, body=thin.body.replace(b"the-", b"a-"))) == (
        Cause.CREDENTIALS_MISMATCH
    )


def sealed(text: bytes) -> dict[str, str]:
    """As Graph seals resource data for the certificate of the second key."""
    key = b"k" * 32
    padder = symmetric_padding.PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(key[:16])).encryptor()
    data = encryptor.update(padder.update(text) + padder.finalize()) + encryptor.finalize()
    sha1 = hashes.SHA1()
    oaep = padding.OAEP(padding.MGF1(sha1), sha1, None)
    return {
        "dataKey": based(RSA[1].public_key().encrypt(key, oaep)),
        "data": based(data),
        "dataSignature": based(mac(key, data)),
    }


def test_graphs_resource_data_is_opened_once_its_own_signature_fits() -> None:
    content = sealed(BODY)
    assert open_content(content, private_pem(RSA[1])) == BODY
    for name in content:
        changed = content | {name: based(b"\x00" * 48)}
        assert open_content(changed, private_pem(RSA[1])) is None
        assert open_content(content | {name: "?"}, private_pem(RSA[1])) is None
    assert open_content({}, private_pem(RSA[1])) is None
    assert open_content(content, "nonsense") is None


def test_wechats_resource_is_opened_with_the_api_v3_key() -> None:
    key = "k" * 32
    text = AESGCM(key.encode()).encrypt(b"nonce-1nonce", BODY, b"transaction")
    resource = {
        "ciphertext": based(text),
        "nonce": "nonce-1nonce",
        "associated_data": "transaction",
    }
    assert open_resource(resource, key) == BODY
    assert open_resource(resource | {"associated_data": "refund"}, key) is None
    assert open_resource(resource, "x" * 32) is None
    assert open_resource(resource, "short") is None
    assert open_resource({}, key) is None
