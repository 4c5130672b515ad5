"""Alipay's global products, Antom and Alipay+: RSA over method, path, client, time and body.

The signature is base64, mostly percent-encoded besides, and by some in the URL's alphabet. Alipay+
wants the answer signed in the same way, with the merchant's own key; Antom takes it unsigned.
Source of the signed text: Antom's documentation, "Sign a request and verify the signature".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.handshake import as_json
from incoming.providers.proof import MAX_SIGNATURE_LENGTH, judge_age, read_timestamp
from incoming.providers.public_key import is_signed_by, load_public_key
from incoming.providers.timestamp import UNBOUNDED

_RESULT: Final = {"resultCode": "SUCCESS", "resultStatus": "S", "resultMessage": "success"}


@dataclass(frozen=True, kw_only=True)
class Alipay(Declaration):
    def check_options(self, options: Mapping[str, str]) -> None:
        super().check_options(options)
        if options.get("private_key") and _private_key(options["private_key"]) is None:
            raise ValueError("option 'private_key' is no RSA key in PEM or base64")

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get("signature")
        if not header:
            return Refused(Cause.SIGNATURE_MISSING)
        given = _signature(header)
        client = call.headers.get("client-id")
        if given is None or client is None:
            return Refused(Cause.SIGNATURE_MALFORMED)
        text = call.headers.get("request-time")
        signed_at = read_timestamp(text, "ms" if text and text.isdecimal() else "iso")
        if isinstance(signed_at, Refused):
            return signed_at
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        message = signed_text(call, client, text or "", call.body)
        for secret in known:
            key = load_public_key(secret.value)
            if key and is_signed_by(key, message, given, algorithm="rsa"):
                return judge_age(secret, signed_at, call, UNBOUNDED, tolerance_seconds)
        return Refused(Cause.SIGNATURE_MISMATCH)

    def acknowledge(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | None:
        plain = as_json({"result": _RESULT})
        key = _private_key((options or {}).get("private_key", ""))
        client = call.headers.get("client-id", "")
        if key is None or not (client.isascii() and client.isprintable()):
            return plain
        now = datetime.fromtimestamp(int(call.received_at), UTC).isoformat()
        message = signed_text(call, client, now, plain.body)
        signature = base64.b64encode(key.sign(message, padding.PKCS1v15(), hashes.SHA256()))
        headers = {
            **plain.headers,
            "Client-Id": client,
            "Response-Time": now,
            "Signature": f"algorithm=RSA256,keyVersion=1,signature={quote(signature, safe='')}",
        }
        return Answer(body=plain.body, content_type=plain.content_type, headers=headers)


def signed_text(call: Call, client: str, time: str, body: bytes) -> bytes:
    path = urlsplit(call.url).path or "/"
    return as_bytes(f"{call.method} {path}\n{client}.{time}.") + body


def _signature(header: str) -> bytes | None:
    """The signature in `algorithm=RSA256,keyVersion=1,signature=…`."""
    parts = [part.partition("=") for part in header[:MAX_SIGNATURE_LENGTH].split(",")]
    items = {name.strip().lower(): value.strip() for name, _, value in parts}
    if items.get("algorithm", "RSA256").upper() != "RSA256":
        return None
    # A plus that was not encoded is a plus: this is no form.
    text = unquote(items.get("signature", "")).replace("+", "-").replace("/", "_")
    return decode_bytes(text, "base64url") or None


@lru_cache(maxsize=64)
def _private_key(text: str) -> rsa.RSAPrivateKey | None:
    """From PEM, or from the bare base64 (PKCS #8) that Alipay's tool shows."""
    text = text.strip().replace("\\n", "\n")
    if not text:
        return None
    try:
        if text.startswith("-----BEGIN"):
            key = serialization.load_pem_private_key(text.encode(), None)
        else:
            raw = base64.b64decode("".join(text.split()), validate=True)
            key = serialization.load_der_private_key(raw, None)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, rsa.RSAPrivateKey) else None


provider = Alipay(
    name="alipay",
    label="Alipay (Antom, Alipay+)",
    docs="https://docs.antom.com/ac/ams/digital_signature",
    signing="`Signature`, the item `signature=`: RSA PKCS #1 v1.5 with SHA-256 in base64, "
    "percent-encoded, over `{method} {path}\\n{Client-Id}.{Request-Time}.{body}`; `Request-Time` "
    "is not bounded: set a tolerance on the source to refuse old calls",
    # A payment's captures and refunds hold the payment's id too.
    id=tuple(
        f"{{json:notifyType}}:{{json:{name}}}:{{json:result.resultCode}}"
        for name in ("captureId", "refundId", "paymentId")
    ),
    type=("json:notifyType",),
    acknowledgement=as_json({"result": _RESULT}),
    secret_options=frozenset({"private_key"}),
    option_texts={
        "private_key": "the merchant's RSA key, in PEM or base64, that acknowledgements are signed "
        "with, which Alipay+ insists on"
    },
    setup="Give exactly the URL that this source shows as paymentNotifyUrl (or refundNotifyUrl) of "
    "a request, or in the dashboard's notification settings. The secret is Alipay's public key, "
    "from the dashboard's integration or key settings.",
)
