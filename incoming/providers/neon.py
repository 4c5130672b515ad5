"""Neon Auth: a detached token (EdDSA) over time and body, each in base64url, the body twice."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.jws import find_signer, parse_token
from incoming.providers.proof import judge_age, read_timestamp
from incoming.providers.timestamp import Tolerance

_TOLERANCE: Final = Tolerance(300, 300)


@dataclass(frozen=True, kw_only=True)
class Neon(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get("x-neon-signature")
        if not header:
            return Refused(Cause.SIGNATURE_MISSING)
        text = call.headers.get("x-neon-timestamp")
        signed_at = read_timestamp(text, "ms")
        if isinstance(signed_at, Refused):
            return signed_at
        payload = as_bytes(f"{text}.") + _base64url(call.body)
        token = parse_token(header, algorithms=("EdDSA",), detached=_base64url(payload))
        if isinstance(token, Refused):
            return token
        signer = find_signer(token, secrets)
        if isinstance(signer, Refused):
            return signer
        return judge_age(signer, signed_at, call, _TOLERANCE, tolerance_seconds)


def _base64url(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


provider = Neon(
    name="neon",
    label="Neon Auth",
    docs="https://neon.com/docs/auth/guides/webhooks",
    signing="`X-Neon-Signature`: a detached token (EdDSA) over `base64url({timestamp}.base64url("
    "{body}))`; `X-Neon-Timestamp` (milliseconds) 300 s old or ahead at most",
    id=("header:x-neon-event-id",),
    type=("header:x-neon-event-type",),
    setup="In the project: Auth, Webhooks. The secret is the public key, as JWK, from the "
    "project's .well-known/jwks.json; while it changes give both. Some events wait for the answer.",
)
