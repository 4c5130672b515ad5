"""PayPal: RSA over a line with the CRC-32 of the body, by a certificate that the call names.

PayPal's old library fetches whatever address the call gives. Here the address must be on a host
under paypal.com whole, and what is fetched from it must be a certificate for such a name that is
valid now; TLS to the pinned host stands for the chain. Source of the signed line: PayPal's Python
library, `notifications.py`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from incoming.providers import pinned
from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes
from incoming.providers.proof import judge_age, read_signature, read_timestamp
from incoming.providers.public_key import is_signed_by, load_public_key
from incoming.providers.timestamp import UNBOUNDED

CERTIFICATE_HOST: Final = r"(?:[a-z0-9-]+\.)+paypal\.com"
_ALGORITHM: Final = "SHA256withRSA"


@dataclass(frozen=True, kw_only=True)
class Paypal(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        signature = read_signature(call.headers.get("paypal-transmission-sig"), "base64")
        if isinstance(signature, Refused):
            return signature
        url = call.headers.get("paypal-cert-url", "")
        if call.headers.get("paypal-auth-algo") != _ALGORITHM:
            return Refused(Cause.SIGNATURE_MALFORMED, "another algorithm")
        if not pinned.is_pinned(url, CERTIFICATE_HOST):
            return Refused(Cause.SIGNATURE_MALFORMED, "the certificate is not on paypal.com")
        signed_at = read_timestamp(call.headers.get("paypal-transmission-time"), "iso")
        if isinstance(signed_at, Refused):
            return signed_at
        certificates, webhooks = _sorted_out(secrets)
        if not webhooks:
            return Refused(Cause.SECRET_MISSING, "the webhook's id is not set")
        keys = certificates or _fetched(url, call.received_at)
        if not keys:
            return Refused(Cause.KEY_UNAVAILABLE)
        for webhook in webhooks:
            message = as_bytes(self.signed_text(call, webhook.value))
            if any(_fits(key, message, signature) for key in keys):
                return judge_age(webhook, signed_at, call, UNBOUNDED, tolerance_seconds)
        return Refused(Cause.SIGNATURE_MISMATCH)

    def signed_text(self, call: Call, webhook_id: str) -> str:
        """The line that PayPal signs: transmission id and time, webhook id, CRC-32 in decimal."""
        names = ("paypal-transmission-id", "paypal-transmission-time")
        transmission_id, sent_at = (call.headers.get(name, "") for name in names)
        return f"{transmission_id}|{sent_at}|{webhook_id}|{zlib.crc32(call.body)}"


def _sorted_out(secrets: Sequence[Secret]) -> tuple[list[str], list[Secret]]:
    """The pinned keys and certificates, and the webhook ids."""
    known = usable(secrets)
    keys = [secret.value for secret in known if load_public_key(secret.value)]
    return keys, [secret for secret in known if secret.value not in keys]


def _fits(key: str, message: bytes, signature: bytes) -> bool:
    public_key = load_public_key(key)
    return public_key is not None and is_signed_by(public_key, message, signature, algorithm="rsa")


def _fetched(url: str, now: float) -> list[str]:
    body = pinned.fetch(url, host=CERTIFICATE_HOST)
    try:
        certificate = x509.load_pem_x509_certificate(body or b"")
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        named = any(str(name.value).lower().endswith(".paypal.com") for name in names)
        moment = datetime.fromtimestamp(now, UTC)
        starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    except (ValueError, OverflowError, OSError):
        return []
    return [pem] if named and starts <= moment <= ends else []


provider = Paypal(
    name="paypal",
    label="PayPal",
    docs="https://developer.paypal.com/api/rest/webhooks/rest/",
    signing="`PAYPAL-TRANSMISSION-SIG`: RSA PKCS #1 v1.5 with SHA-256 in base64 over `{transmission"
    " id}|{transmission time}|{webhook id}|{CRC-32 of the body}`; the certificate is fetched from "
    "`PAYPAL-CERT-URL` (hosts under paypal.com only) or pinned",
    id=("header:paypal-transmission-id", "json:id"),
    type=("json:event_type",),
    setup="In the developer dashboard: the app's Webhooks, Add Webhook. The secret is the webhook "
    "id shown afterwards. To do without fetching, add PayPal's certificate, in PEM, as another "
    "secret.",
)
