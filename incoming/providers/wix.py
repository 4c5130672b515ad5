"""Wix: the whole body is a token (RS256); the event is JSON in JSON in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.providers.call import Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.jws import (
    Token,
    as_object,
    check_issued_at,
    check_period,
    parse_token,
    read_claims,
)
from incoming.providers.locator import kept
from incoming.providers.timestamp import Tolerance

MAX_BODY_LENGTH: Final = 4 * 1024 * 1024  # characters; Wix's payloads are far smaller
_LEEWAY_SECONDS: Final = 60
_TOLERANCE: Final = Tolerance(None, 300)  # `exp` ends the past; it tries for hours


@dataclass(frozen=True, kw_only=True)
class Wix(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        if not call.body.strip():
            return Refused(Cause.SIGNATURE_MISSING)
        token = _token(call)
        if isinstance(token, Refused):
            return token
        signed = read_claims(token, secrets)
        if isinstance(signed, Refused):
            return signed
        signer, claims = signed
        stale = check_period(claims, now=call.received_at, leeway_seconds=_LEEWAY_SECONDS)
        if stale:
            return stale
        tolerance = _TOLERANCE.or_chosen(tolerance_seconds)
        issued_at = check_issued_at(claims, now=call.received_at, tolerance=tolerance)
        if isinstance(issued_at, Refused):
            return issued_at
        return Verified(secret_id=signer.id, signed_at=issued_at)

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        token = _token(call)
        claims = {} if isinstance(token, Refused) else as_object(token.payload) or {}
        event = _inner(claims.get("data"))
        details = _inner(event.get("data"))
        return Identity(external_id=kept(details.get("id")), type=kept(event.get("eventType")))


def _token(call: Call) -> Token | Refused:
    text = call.body.decode("ascii", "replace").strip()
    return parse_token(text, algorithms=("RS256",), max_length=MAX_BODY_LENGTH)


def _inner(value: Any) -> Mapping[str, Any]:
    """JSON kept as text within JSON."""
    if isinstance(value, dict):
        return value
    return (as_object(as_bytes(value)) or {}) if isinstance(value, str) else {}


provider = Wix(
    name="wix",
    label="Wix",
    docs="https://dev.wix.com/docs/build-apps/develop-your-app/access/authentication/"
    "verify-requests-received-from-wix",
    signing="the body itself, a token (RS256) with `iat` and `exp`",
    setup="In the app's dashboard: Webhooks, Create, this URL. The secret is the app's public key, "
    "in PEM, behind Get Public Key on the same page. Wix waits 1.25 seconds.",
)
