"""Bodies sealed for one recipient: opened by a library, and by hand as the RFCs say."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from webhooks_project.lib.faults import Fault
from webhooks_project.lib.jwe import parse_recipient

BODY = '{"type":"a","name":"Zoë"}'.encode()
RSA = RSAKey.generate_key(2048)
P256 = ECKey.generate_key("P-256")
KEYS: dict[str, Any] = {
    "RSA": RSA,
    "P-256": P256,
    "P-384": ECKey.generate_key("P-384"),
    "P-521": ECKey.generate_key("P-521"),
    "X25519": OKPKey.generate_key("X25519"),
}


def jwk(key: Any, **more: Any) -> str:
    return json.dumps({**key.as_dict(private=False), **more})


def pem(key: Any, *, private: bool = False) -> str:
    return key.as_pem(private=private).decode()


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


SHORT = rsa.generate_private_key(65537, 1024).public_key()
SHORT_PEM = SHORT.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
SHORT_MODULUS = base64.urlsafe_b64encode(SHORT.public_numbers().n.to_bytes(128, "big")).decode()


@pytest.mark.parametrize("form", [jwk, pem])
@pytest.mark.parametrize("name", KEYS)
def test_the_library_opens_it(name: str, form: Any) -> None:
    recipient = parse_recipient(form(KEYS[name]))
    sealed = recipient.encrypt(BODY, content_type="application/json")
    algorithm = "RSA-OAEP-256" if name == "RSA" else "ECDH-ES"
    opened = jwe.decrypt_compact(sealed, KEYS[name], algorithms=[algorithm, "A256GCM"])
    assert opened.plaintext == BODY
    header = {name: value for name, value in opened.headers().items() if name != "epk"}
    assert header == {
        "alg": algorithm,
        "enc": "A256GCM",
        "kid": KEYS[name].thumbprint(),
        "cty": "json",
    }


def test_rsa_is_opened_by_hand() -> None:
    sealed = parse_recipient(jwk(RSA)).encrypt(BODY, content_type="application/json")
    header, key, nonce, ciphertext, tag = sealed.decode().split(".")
    private = RSA.private_key
    assert isinstance(private, rsa.RSAPrivateKey)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    content_key = private.decrypt(raw(key), oaep)
    assert len(content_key) == 32
    opened = AESGCM(content_key).decrypt(raw(nonce), raw(ciphertext) + raw(tag), header.encode())
    assert opened == BODY


def test_ecdh_is_opened_by_hand() -> None:
    sealed = parse_recipient(pem(P256)).encrypt(BODY, content_type="application/json")
    header, key, nonce, ciphertext, tag = sealed.decode().split(".")
    assert key == ""  # agreed on directly, RFC 7518, 4.6
    ephemeral = import_key(json.loads(raw(header))["epk"]).public_key
    private = P256.private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    agreed = private.exchange(ec.ECDH(), ephemeral)

    def with_length(part: bytes) -> bytes:
        return len(part).to_bytes(4, "big") + part

    info = with_length(b"A256GCM") + with_length(b"") * 2 + (256).to_bytes(4, "big")
    content_key = ConcatKDFHash(hashes.SHA256(), 32, info).derive(agreed)
    opened = AESGCM(content_key).decrypt(raw(nonce), raw(ciphertext) + raw(tag), header.encode())
    assert opened == BODY


def test_no_two_are_alike() -> None:
    recipient = parse_recipient(jwk(P256))
    sealed = {recipient.encrypt(BODY, content_type="application/json") for _ in range(20)}
    assert len(sealed) == 20


@pytest.mark.parametrize(
    ("content_type", "shown"),
    [
        ("application/json", "json"),
        ("application/json; charset=utf-8", "json"),
        ("application/cloudevents+json", "cloudevents+json"),
        ("text/plain", "text/plain"),
    ],
)
def test_says_what_the_content_is(content_type: str, shown: str) -> None:
    sealed = parse_recipient(jwk(P256)).encrypt(BODY, content_type=content_type)
    assert json.loads(raw(sealed.decode().split(".")[0]))["cty"] == shown


def test_a_key_s_own_name_is_used() -> None:
    assert parse_recipient(jwk(P256, kid="mine", use="enc", alg="ECDH-ES")).key_id == "mine"
    assert parse_recipient(jwk(P256, key_ops=["deriveBits"])).key_id == P256.thumbprint()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "not_a_key"),
        ("nonsense", "not_a_key"),
        ("[]", "not_a_key"),
        ("{}", "not_a_key"),
        ('{"kty":"oct","k":"AAAA"}', "not_a_key"),
        ('{"kty":"EC","crv":"P-256"}', "not_a_key"),
        ('{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}', "not_a_key"),
        ('{"kty":"RSA","n":5,"e":null}', "not_a_key"),
        (jwk(P256, kid=5), "not_a_key"),
        (jwk(P256) + "\x00", "not_a_key"),
        ("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "not_a_key"),
        (json.dumps(P256.as_dict(private=True)), "private_key_given"),
        (json.dumps(RSA.as_dict(private=True)), "private_key_given"),
        (pem(P256, private=True), "private_key_given"),
        (json.dumps({"kty": "RSA", "n": SHORT_MODULUS, "e": "AQAB"}), "key_too_short"),
        (SHORT_PEM, "key_too_short"),
        (jwk(OKPKey.generate_key("Ed25519")), "curve_not_supported"),
        (jwk(ECKey.generate_key("secp256k1")), "curve_not_supported"),
        (jwk(P256, alg="ECDH-ES+A256KW"), "algorithm_not_supported"),
        (jwk(RSA, alg="RSA1_5"), "algorithm_not_supported"),
        (jwk(P256, use="sig"), "not_for_encryption"),
        ("x" * 16_385, "too_large"),
    ],
    ids=lambda text: text if len(text) < 30 else "long",  # keys differ from process to process
)
def test_says_what_is_wrong_with_a_key(text: str, code: str) -> None:
    with pytest.raises(Fault) as caught:
        parse_recipient(text)
    assert caught.value.code == code
