"""The steps that every proof is made of, for providers that no recipe covers.

Each gives its result or the Refused to end with, in the order in which the causes are told: no
signature, a malformed one, no or no readable timestamp, no secret, no fit, and only then the age.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import usable
from incoming.providers.encoding import as_bytes, decode_bytes, encode_bytes
from incoming.providers.timestamp import Tolerance, parse_timestamp

MAX_SIGNATURE_LENGTH: Final = 8192  # characters; a longer one is refused before it is read


def read_signature(text: str | None, encoding: str) -> bytes | Refused:
    """The signature's bytes, from text in one of the encodings of `decode_bytes`."""
    if not text:
        return Refused(Cause.SIGNATURE_MISSING)
    given = decode_bytes(text, encoding) if len(text) <= MAX_SIGNATURE_LENGTH else None
    return given or Refused(Cause.SIGNATURE_MALFORMED)


def read_timestamp(text: str | None, unit: str) -> float | Refused:
    """Unix seconds, from text in one of the units of `parse_timestamp`."""
    if text is None:
        return Refused(Cause.TIMESTAMP_MISSING)
    signed_at = parse_timestamp(text, unit)
    return Refused(Cause.TIMESTAMP_MALFORMED) if signed_at is None else signed_at


def hmac_signer(
    secrets: Sequence[Secret], given: bytes, *messages: bytes, hash: str = "sha256"
) -> Secret | Refused:
    """The secret that one of the messages was signed with, as text; several where the third party
    itself has more than one way to write what it signs."""
    known = usable(secrets)
    if not known:
        return Refused(Cause.SECRET_MISSING)
    for secret in known:
        key = as_bytes(secret.value)
        if any(hmac.compare_digest(hmac.digest(key, text, hash), given) for text in messages):
            return secret
    return Refused(Cause.SIGNATURE_MISMATCH)


def hmac_text(secret: Secret, message: bytes, encoding: str, *, hash: str = "sha256") -> str:
    """The signature that `hmac_signer` finds to be of this secret."""
    return encode_bytes(hmac.digest(as_bytes(secret.value), message, hash), encoding)


def judge_age(
    signer: Secret,
    signed_at: float,
    call: Call,
    tolerance: Tolerance,
    tolerance_seconds: int | None,
) -> Verified | Refused:
    """Verified where the true signature is young enough, by the source's own tolerance if any."""
    stale = tolerance.or_chosen(tolerance_seconds).check(signed_at, now=call.received_at)
    return stale or Verified(secret_id=signer.id, signed_at=signed_at)
