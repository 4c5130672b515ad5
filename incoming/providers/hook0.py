"""Hook0, and what is built on it. It may sign headers too: their names stand in `h`.

Source: hook0/hook0, `clients/rust/src/signature.rs`. Where there is a v1, v0 does not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.placing import place
from incoming.providers.proof import (
    MAX_SIGNATURE_LENGTH,
    hmac_signer,
    hmac_text,
    judge_age,
    read_timestamp,
)
from incoming.providers.timestamp import Tolerance, write_timestamp

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
        signed_at = read_timestamp(items["t"], "s")
        if isinstance(signed_at, Refused):
            return signed_at
        signer = hmac_signer(secrets, given, head + call.body)
        if isinstance(signer, Refused):
            return signer
        return judge_age(signer, signed_at, call, _TOLERANCE, tolerance_seconds)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        listed = " ".join(name for name in call.headers if name.startswith("x-event-"))
        items = {"t": write_timestamp(call.received_at, "s"), "h": listed, "v1": "to be made"}
        head = _signed_head(items, call) or b""
        items["v1"] = hmac_text(secret, head + call.body, "hex")
        text = ",".join(f"{name}={value}" for name, value in items.items())
        return place(call, f"header:{_HEADER}", text)


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
