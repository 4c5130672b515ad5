"""Certificates that people give us: our own towards an endpoint, and the authorities of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import Certificate, load_pem_x509_certificates

from webhooks_project.lib.faults import Fault

MAX_BYTES: Final = 65_536
MAX_CERTIFICATES: Final = 50
MIN_RSA_BITS: Final = 2048  # OpenSSL itself refuses shorter ones

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def check_identity(certificate: str, key: str, *, now: datetime) -> datetime:
    """Judge a client certificate, perhaps with its chain after it, and its key, both as PEM.

    Returns when the certificate ends. Raises Fault, whose path begins with `/certificate` or
    `/key`.
    """
    try:
        leaf = _certificates(certificate)[0]
        _check_period(leaf, now)
    except Fault as fault:
        raise fault.below("/certificate") from None
    private = _private_key(key)
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if private.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise Fault("key_mismatch", "The key is not that of the certificate.", path="/key")
    return leaf.not_valid_after_utc


def check_authorities(text: str, *, now: datetime) -> None:
    """Judge a PEM bundle of the certificates to trust. Raises Fault."""
    for certificate in _certificates(text):
        _check_period(certificate, now)


def ends_at(certificate: str) -> datetime | None:
    """When a PEM certificate ends; None where the text is none."""
    try:
        return _certificates(certificate)[0].not_valid_after_utc
    except Fault:
        return None


def _certificates(text: str) -> Sequence[Certificate]:
    if len(text) > MAX_BYTES:
        raise Fault("too_large", f"Certificates have at most {MAX_BYTES} bytes.")
    if not text.isascii() or "\x00" in text:
        raise Fault("not_a_certificate", "PEM is ASCII.")
    try:
        found = load_pem_x509_certificates(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise Fault("not_a_certificate", "That is no PEM certificate.") from None
    if len(found) > MAX_CERTIFICATES:
        raise Fault("too_many_certificates", f"There may be at most {MAX_CERTIFICATES}.")
    return found


def _check_period(certificate: Certificate, now: datetime) -> None:
    if certificate.not_valid_after_utc <= now:
        raise Fault("certificate_expired", "The certificate has expired.")
    if certificate.not_valid_before_utc > now:
        raise Fault("certificate_not_yet_valid", "The certificate is not valid yet.")


def _private_key(text: str) -> PrivateKey:
    if len(text) > MAX_BYTES:
        raise Fault("too_large", f"A key has at most {MAX_BYTES} bytes.", path="/key")
    try:
        key = load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise Fault(
            "key_encrypted", "The key is locked with a passphrase: give it without.", path="/key"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise Fault("not_a_key", "That is no private key in PEM.", path="/key") from None
    if not isinstance(key, PrivateKey):
        raise Fault("key_kind_not_supported", "A key is RSA, EC or Ed25519.", path="/key")
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS:
        raise Fault("key_too_short", f"An RSA key has {MIN_RSA_BITS} bits at least.", path="/key")
    return key
