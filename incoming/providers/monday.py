"""monday.com: a challenge to echo and, for apps, a token that says who calls but not what.

The body is not covered by the token. Webhooks made without an app carry none and are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.handshake import as_json, challenge
from incoming.providers.jws import (
    check_issued_at,
    check_period,
    moment,
    parse_token,
    read_claims,
    signed_token,
)
from incoming.providers.placing import place
from incoming.providers.timestamp import FIVE_MINUTES

_LEEWAY_SECONDS: Final = 30
_LIFE_SECONDS: Final = 300


@dataclass(frozen=True, kw_only=True)
class Monday(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get("authorization")
        if not header:
            return Refused(Cause.SIGNATURE_MISSING)
        text = header[7:] if header[:7].lower() == "bearer " else header
        token = parse_token(text.strip(), algorithms=("HS256",))
        if isinstance(token, Refused):
            return token
        signed = read_claims(token, secrets)
        if isinstance(signed, Refused):
            return signed
        signer, claims = signed
        audience = claims.get("aud")
        if audience and audience not in (call.url, call.url.partition("?")[0]):
            return Refused(Cause.SIGNATURE_MISMATCH, "claim aud")
        if "exp" not in claims:
            return _check_age(claims, call, signer, tolerance_seconds)
        leeway = _LEEWAY_SECONDS if tolerance_seconds is None else tolerance_seconds
        stale = check_period(claims, now=call.received_at, leeway_seconds=leeway)
        return stale or Verified(secret_id=signer.id, signed_at=moment(claims, "iat"))

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        issued_at = int(call.received_at)
        claims = {"aud": call.url, "iat": issued_at, "exp": issued_at + _LIFE_SECONDS}
        return place(call, "header:authorization", signed_token(claims, secret))


def _check_age(
    claims: Mapping[str, Any], call: Call, signer: Secret, tolerance_seconds: int | None
) -> Verified | Refused:
    """A token that does not say when it ends must have been made just now."""
    tolerance = FIVE_MINUTES.or_chosen(tolerance_seconds)
    issued_at = check_issued_at(claims, now=call.received_at, tolerance=tolerance)
    if isinstance(issued_at, Refused):
        return issued_at
    return Verified(secret_id=signer.id, signed_at=issued_at)


def _challenge(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    payload = call.json
    if not isinstance(payload, dict) or "event" in payload:
        return None
    echo = challenge(payload.get("challenge"))
    return as_json({"challenge": echo}) if echo else None


provider = Monday(
    name="monday",
    label="monday.com",
    docs="https://developer.monday.com/apps/docs/integration-authorization",
    signing="`Authorization`: a token (HS256) with `exp` and, mostly, this URL as `aud`; the body "
    "is **not** covered",
    id=("json:event.triggerUuid",),
    type=("json:event.type", "json:type"),
    on_handshake=_challenge,
    handshake_text="a POST of JSON with a `challenge`: the same back",
    unsigned_handshake=True,
    setup="Create the webhook from an app, with this URL. The secret is the app's signing secret, "
    "or its client secret for the app's life-cycle events.",
)
