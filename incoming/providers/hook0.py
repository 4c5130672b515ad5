"""Hook0, and what is built on it. It may sign headers too: their names stand in `h`.

Source: hook0/hook0, `clients/rust/src/signature.rs`. Where there is a v1, v0 does not count.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.recipe import MAX_SIGNATURE_LENGTH
from incoming.providers.timestamp import Tolerance, parse_timestamp

_HEADER: Final = "x-hook0-signature"
_TOLERANCE: Final = Tolerance(300, 300)


@dataclass(frozen=True, kw_only=True)
class Hook0(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get(_HEADER)
        if not header:
            return Refused(Cause.SIGNATURE_MISSING)
        parts = [part.partition("=") for part in header[:MAX_SIGNATURE_LENGTH].split(",")]
        items = {name.strip(): value.strip() for name, _, value in parts}
        given = decode_bytes(items.get("v1") or items.get("v0") or "", "hex")
        head = _signed_head(items, call)
        if len(header) > MAX_SIGNATURE_LENGTH or not given or head is None:
            return Refused(Cause.SIGNATURE_MALFORMED)
        signed_at = parse_timestamp(items["t"], "s")
        if signed_at is None:
            return Refused(Cause.TIMESTAMP_MALFORMED)
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        for secret in known:
            expected = hmac.digest(as_bytes(secret.value), head + call.body, "sha256")
            if hmac.compare_digest(expected, given):
                stale = _TOLERANCE.or_chosen(tolerance_seconds).check(
                    signed_at, now=call.received_at
                )
                return stale or Verified(secret_id=secret.id, signed_at=signed_at)
        return Refused(Cause.SIGNATURE_MISMATCH)


def _signed_head(items: Mapping[str, str], call: Call) -> bytes | None:
    """What is signed before the body; None where the time or a signed header is missing."""
    if "t" not in items:
        return None
    if not items.get("v1"):
        return as_bytes(f"{items['t']}.")
    listed = items.get("h", "").lower()
    names = listed.split(" ") if listed else []
    if any(name not in call.headers for name in names):
        return None
    values = ".".join(call.headers[name] for name in names)
    return as_bytes(f"{items['t']}.{listed}.{values}.")


provider = Hook0(
    name="hook0",
    label="Hook0",
    docs="https://documentation.hook0.com/tutorials/webhook-authentication",
    signing="`X-Hook0-Signature`: HMAC-SHA256 in hex, as `v1=` over `{t}.{h}.{values of the headers"
    " in h}.{body}` or as `v0=` over `{t}.{body}`; `t` 300 s old or ahead at most",
    id=("header:x-event-id",),
    type=("header:x-event-type",),
    setup="Create the subscription at the sender with this URL. The secret is the subscription's, "
    "a UUID, used as text.",
)
