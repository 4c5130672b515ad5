"""Box: two signatures, of a primary and a secondary key, either of which is enough.

What is signed is the body, or the body with everything but plain ASCII escaped; both are tried, as
Box's library does. Source: box-python-sdk, `internal/utils.py`.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.recipe import MAX_SIGNATURE_LENGTH
from incoming.providers.timestamp import Tolerance, parse_timestamp

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
        given = [
            signature
            for text in texts
            if len(text) <= MAX_SIGNATURE_LENGTH and (signature := decode_bytes(text, "base64"))
        ]
        scheme = [call.headers.get(f"box-signature-{name}") for name in ("version", "algorithm")]
        if not given or scheme != ["1", "HmacSHA256"]:
            return Refused(Cause.SIGNATURE_MALFORMED)
        text = call.headers.get(_TIMESTAMP)
        if text is None:
            return Refused(Cause.TIMESTAMP_MISSING)
        signed_at = parse_timestamp(text, "iso")
        if signed_at is None:
            return Refused(Cause.TIMESTAMP_MALFORMED)
        if not usable(secrets):
            return Refused(Cause.SECRET_MISSING)
        found = _fitting(call, as_bytes(text), given, usable(secrets))
        if found is None:
            return Refused(Cause.SIGNATURE_MISMATCH)
        tolerance = _TOLERANCE.or_chosen(tolerance_seconds)
        stale = tolerance.check(signed_at, now=call.received_at)
        return stale or Verified(secret_id=found.id, signed_at=signed_at)


def _fitting(
    call: Call, timestamp: bytes, given: list[bytes], secrets: list[Secret]
) -> Secret | None:
    escaped = escaped_body(call.body)
    for body in (call.body,) if escaped in (None, call.body) else (call.body, escaped):
        for secret in secrets:
            expected = hmac.digest(as_bytes(secret.value), body + timestamp, "sha256")
            if any(hmac.compare_digest(expected, signature) for signature in given):
                return secret
    return None


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
