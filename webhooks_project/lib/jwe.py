"""Encryption for one recipient: JWE in its compact form (RFC 7516), with A256GCM.

The recipient's public key says how the content's key is agreed on: RSA-OAEP-256 for RSA, ECDH-ES
for P-256, P-384, P-521 and X25519.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from webhooks_project.lib.faults import Fault

CONTENT_TYPE: Final = "application/jose"
ENCRYPTION: Final = "A256GCM"
MAX_KEY_LENGTH: Final = 16_384  # characters
MIN_RSA_BITS: Final = 2048
CURVES: Final = frozenset({"P-256", "P-384", "P-521", "X25519"})

_Key = RSAKey | ECKey | OKPKey


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whoever holds the private half of the key."""

    algorithm: str
    key_id: str
    _key: _Key = field(repr=False)

    def encrypt(self, plaintext: bytes, *, content_type: str) -> bytes:
        """The sealed bytes; every call gives others."""
        header = {
            "alg": self.algorithm,
            "enc": ENCRYPTION,
            "kid": self.key_id,
            # RFC 7516, 4.1.12: without "application/", and parameters say nothing here.
            "cty": content_type.partition(";")[0].strip().removeprefix("application/"),
        }
        return jwe.encrypt_compact(
            header, plaintext, self._key, algorithms=[self.algorithm, ENCRYPTION]
        ).encode()


def parse_recipient(text: str) -> Recipient:
    """The recipient of a public key, as JWK or PEM. Raises Fault.

    The `kid` is the JWK's own, else the key's thumbprint (RFC 7638).
    """
    if len(text) > MAX_KEY_LENGTH:
        raise Fault("too_large", f"A key has at most {MAX_KEY_LENGTH} characters.")
    if "\x00" in text:
        raise Fault("not_a_key", "A key holds no NUL.")
    key = _from_pem(text) if text.lstrip().startswith("-----BEGIN") else _from_jwk(text)
    if key.is_private:
        raise _private()
    if isinstance(key, RSAKey):
        algorithm = "RSA-OAEP-256"
    else:
        algorithm = "ECDH-ES"
        if key.curve_name not in CURVES:
            raise Fault("curve_not_supported", f"The curves are {', '.join(sorted(CURVES))}.")
    if key.get("alg", algorithm) != algorithm:
        raise Fault("algorithm_not_supported", f"Such a key is used with {algorithm}.")
    if key.get("use", "enc") != "enc":
        raise Fault("not_for_encryption", "The key's use is not enc.")
    return Recipient(algorithm, str(key.get("kid") or key.thumbprint()), key)


def _from_jwk(text: str) -> _Key:
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Fault("not_a_key", "That is neither a JWK nor a PEM public key.") from None
    if not isinstance(document, dict) or document.get("kty") not in ("RSA", "EC", "OKP"):
        raise Fault("not_a_key", "A JWK is an object whose kty is RSA, EC or OKP.")
    if document.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth"}:
        raise _private()
    modulus = document.get("n")
    if document["kty"] == "RSA" and isinstance(modulus, str):
        _check_size(len(modulus) * 6)  # of base64url; the library warns of it and goes on
    known = {name: value for name, value in document.items() if name not in ("key_ops", "ext")}
    try:
        return _of_kind(import_key(known))
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, UnsupportedAlgorithm):
        raise Fault("not_a_key", "The JWK is not one of a public key.") from None


def _from_pem(text: str) -> _Key:
    if "PRIVATE KEY" in text:
        raise _private()
    try:
        public = load_pem_public_key(text.encode())
        if isinstance(public, rsa.RSAPublicKey):
            _check_size(public.key_size)
            return RSAKey.import_key(public)
        if isinstance(public, ec.EllipticCurvePublicKey):
            return ECKey.import_key(public)
        return OKPKey.import_key(text)
    except (JoseError, ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
        if isinstance(error, Fault):
            raise
        raise Fault("not_a_key", "That is no public key in PEM: RSA, EC or X25519.") from None


def _check_size(bits: int) -> None:
    if bits < MIN_RSA_BITS:
        raise Fault("key_too_short", f"An RSA key has {MIN_RSA_BITS} bits at least.")


def _of_kind(key: Any) -> _Key:
    if not isinstance(key, RSAKey | ECKey | OKPKey):
        raise TypeError("another kind of key")
    _ = key.public_key  # only now is what it holds judged
    return key


def _private() -> Fault:
    return Fault(
        "private_key_given", "That is a private key; it stays with the receiver. Give the public."
    )
