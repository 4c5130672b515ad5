"""Box: two signatures, of a primary and a secondary key, either of which is enough.

What is signed is the body, or the body with everything but plain ASCII escaped; both are tried, as
Box's library does. Source: box-python-sdk, `internal/utils.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.proof import (
    hmac_signer,
    hmac_text,
    judge_age,
    read_signature,
    read_timestamp,
)
from incoming.providers.timestamp import Tolerance, write_timestamp

_SIGNATURES: Final = ("box-signature-primary", "box-signature-secondary")
_TIMESTAMP: Final = "box-delivery-timestamp"
_TOLERANCE: Final = Tolerance(600, 0)
_ESCAPED: Final = re.compile(r"[^\x20-\x7e]")
_SHORT: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


@dataclass(frozen=True, kw_only=True)
class Box(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        texts = [text for name in _SIGNATURES if (text := call.headers.get(name))]
        if not texts:
            return Refused(Cause.SIGNATURE_MISSING)
        decoded = [read_signature(text, "base64") for text in texts]
        given = [signature for signature in decoded if isinstance(signature, bytes)]
        scheme = [call.headers.get(f"box-signature-{name}") for name in ("version", "algorithm")]
        if not given or scheme != ["1", "HmacSHA256"]:
            return Refused(Cause.SIGNATURE_MALFORMED)
        signed_at = read_timestamp(call.headers.get(_TIMESTAMP), "iso")
        if isinstance(signed_at, Refused):
            return signed_at
        messages = [body + as_bytes(call.headers[_TIMESTAMP]) for body in _signed_bodies(call.body)]
        signer: Secret | Refused = Refused(Cause.SIGNATURE_MISMATCH)
        for signature in given:
            if isinstance(signer, Refused):
                signer = hmac_signer(secrets, signature, *messages)
        if isinstance(signer, Refused):
            return signer
        return judge_age(signer, signed_at, call, _TOLERANCE, tolerance_seconds)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        stamp = write_timestamp(call.received_at, "iso")
        headers = {
            "box-signature-version": "1",
            "box-signature-algorithm": "HmacSHA256",
            _TIMESTAMP: stamp,
            _SIGNATURES[0]: hmac_text(secret, call.body + as_bytes(stamp), "base64"),
        }
        return replace(call, headers={**call.headers, **headers})


def _signed_bodies(body: bytes) -> list[bytes]:
    escaped = escaped_body(body)
    return [body] if escaped in (None, body) else [body, escaped]


def escaped_body(body: bytes) -> bytes | None:
    """The body as Box escapes it before it signs; None where it is not UTF-8."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    text = re.sub(r"\\(?!/)", r"\\\\", text)
    return _ESCAPED.sub(_escape, text).encode("ascii")


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _SHORT:
        return _SHORT[character]
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


provider = Box(
    name="box",
    label="Box",
    docs="https://developer.box.com/guides/webhooks/v2/signatures-v2/",
    signing="`BOX-SIGNATURE-PRIMARY` or `-SECONDARY`: HMAC-SHA256 in base64 over the body and "
    "`BOX-DELIVERY-TIMESTAMP` (RFC 3339), which is 600 s old at most and not ahead",
    id=("header:box-delivery-id",),
    type=("json:trigger",),
    setup="In the Developer Console: the app's Webhooks, Manage signature keys. Give both keys as "
    "secrets; Box signs with both, so they can be replaced one after the other.",
)
