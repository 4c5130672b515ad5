"""Public keys in the forms that third parties hand them out in, and signatures made with them."""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache
from typing import Any, Final

import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from incoming.providers.encoding import decode_bytes

PublicKey = Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey

ALGORITHMS: Final = ("ed25519", "ecdsa", "ecdsa-raw", "rsa", "rsa-pss")
ED25519_KEY_BYTES: Final = 32
MIN_RSA_BITS: Final = 2048  # a shorter key can be factored; none of the third parties uses one
MAX_KEY_LENGTH: Final = 64 * 1024  # characters; longer text is no key

_HASHES: Final[dict[str, type[hashes.HashAlgorithm]]] = {
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}


@lru_cache(maxsize=512)
def load_public_key(text: str) -> PublicKey | None:
    """The key in a PEM public key or certificate, a JWK, base64 of a DER key (SPKI), or 32 bytes
    of Ed25519 in hex, base64 or base64url, with or without `whpk_`; None where it is none.

    Line breaks may be written `\\n`, as they are in environment variables. A `whsk_` secret, the
    private half that a Standard Webhooks sender keeps, stands for its public half.
    """
    text = text.strip().replace("\\n", "\n")
    if not text or len(text) > MAX_KEY_LENGTH:
        return None
    try:
        return _usable(_load(text))
    except (ValueError, TypeError, KeyError, binascii.Error, UnsupportedAlgorithm):
        return None


def _load(text: str) -> Any:
    if text.startswith("{"):
        return _from_jwk(orjson.loads(text))
    if "-----BEGIN CERTIFICATE-----" in text:
        return x509.load_pem_x509_certificate(text.encode()).public_key()
    if text.startswith("-----BEGIN"):
        return serialization.load_pem_public_key(text.encode())
    if text.startswith("whsk_"):
        seed = base64.b64decode(text.removeprefix("whsk_"), validate=True)[:ED25519_KEY_BYTES]
        return Ed25519PrivateKey.from_private_bytes(seed).public_key()
    text = text.removeprefix("whpk_")
    if len(text) == 2 * ED25519_KEY_BYTES and (raw := decode_bytes(text, "hex")):
        return Ed25519PublicKey.from_public_bytes(raw)
    raw = _base64("".join(text.split()))
    if len(raw) == ED25519_KEY_BYTES:
        return Ed25519PublicKey.from_public_bytes(raw)
    return serialization.load_der_public_key(raw)


def _from_jwk(jwk: Any) -> Any:
    """RFC 7517 and 8037. A set of keys (`keys`) is not one key: pin the one you mean."""
    match jwk["kty"], jwk.get("crv"):
        case "OKP", "Ed25519":
            return Ed25519PublicKey.from_public_bytes(_base64(jwk["x"]))
        case "EC", "P-256":
            x, y = (int.from_bytes(_base64(jwk[name])) for name in ("x", "y"))
            return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
        case "RSA", _:
            n, e = (int.from_bytes(_base64(jwk[name])) for name in ("n", "e"))
            return rsa.RSAPublicNumbers(e, n).public_key()
    raise ValueError("not a key of a kind that is used here")


def _base64(text: str) -> bytes:
    bare = text.encode("ascii").translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)


def _usable(key: Any) -> PublicKey | None:
    match key:
        case Ed25519PublicKey():
            return key
        case ec.EllipticCurvePublicKey() if isinstance(key.curve, ec.SECP256R1):
            return key
        case rsa.RSAPublicKey() if key.key_size >= MIN_RSA_BITS:
            return key
    return None


def is_signed_by(
    key: PublicKey, message: bytes, signature: bytes, *, algorithm: str, hash: str = "sha256"
) -> bool:
    """Whether this is the key's signature of the message; False too where the key is not of the
    algorithm's kind. An `ecdsa` signature is DER, an `ecdsa-raw` one the two 32-byte numbers of a
    JWS (RFC 7518, 3.4)."""
    try:
        match key, algorithm:
            case Ed25519PublicKey(), "ed25519":
                key.verify(signature, message)
            case ec.EllipticCurvePublicKey(), "ecdsa":
                key.verify(signature, message, ec.ECDSA(_HASHES[hash]()))
            case ec.EllipticCurvePublicKey(), "ecdsa-raw" if len(signature) == 64:
                r, s = (int.from_bytes(half) for half in (signature[:32], signature[32:]))
                key.verify(encode_dss_signature(r, s), message, ec.ECDSA(_HASHES[hash]()))
            case rsa.RSAPublicKey(), "rsa":
                key.verify(signature, message, padding.PKCS1v15(), _HASHES[hash]())
            case rsa.RSAPublicKey(), "rsa-pss":
                chosen = _HASHES[hash]()
                pss = padding.PSS(padding.MGF1(chosen), padding.PSS.AUTO)
                key.verify(signature, message, pss, chosen)
            case _:
                return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True
