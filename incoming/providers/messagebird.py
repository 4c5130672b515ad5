"""MessageBird, now Bird: a token in a header that holds the hashes of URL and body.

Source: messagebird/python-rest-api, `request_validator.py`. A token lives for a minute.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from incoming.providers.call import Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.jws import (
    as_object,
    check_period,
    is_sha256_of,
    moment,
    parse_token,
    read_claims,
    signed_token,
)
from incoming.providers.locator import first, kept
from incoming.providers.placing import place
from webhooks_project.lib.ids import new_id

_HEADER: Final = "messagebird-signature-jwt"
_ALGORITHMS: Final = ("HS256", "HS384", "HS512")
_LEEWAY_SECONDS: Final = 1
_LIFE_SECONDS: Final = 60


@dataclass(frozen=True, kw_only=True)
class Messagebird(Declaration):
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
        token = parse_token(header, algorithms=_ALGORITHMS)
        if isinstance(token, Refused):
            return token
        signed = read_claims(token, secrets)
        if isinstance(signed, Refused):
            return signed
        signer, claims = signed
        if refusal := _check_claims(claims, call):
            return refusal
        leeway = _LEEWAY_SECONDS if tolerance_seconds is None else tolerance_seconds
        stale = check_period(claims, now=call.received_at, leeway_seconds=leeway)
        return stale or Verified(secret_id=signer.id, signed_at=moment(claims, "nbf"))

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        claims = {
            "iss": "MessageBird",
            "nbf": int(call.received_at),
            "exp": int(call.received_at) + _LIFE_SECONDS,
            "jti": str(new_id()),
            "url_hash": hashlib.sha256(as_bytes(call.url)).hexdigest(),
        }
        if call.body:
            claims["payload_hash"] = hashlib.sha256(call.body).hexdigest()
        return place(call, f"header:{_HEADER}", signed_token(claims, secret))

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        """The token's own id, `jti`, which is signed, unlike anything else here."""
        token = parse_token(call.headers.get(_HEADER, ""), algorithms=_ALGORITHMS)
        claims = {} if isinstance(token, Refused) else as_object(token.payload) or {}
        return Identity(external_id=kept(claims.get("jti")), type=first(call, self.type))


def _check_claims(claims: Mapping[str, Any], call: Call) -> Refused | None:
    if claims.get("iss") != "MessageBird":
        return Refused(Cause.SIGNATURE_MISMATCH, "claim iss")
    if moment(claims, "nbf") is None or moment(claims, "exp") is None:
        return Refused(Cause.TIMESTAMP_MISSING, "claim nbf or exp")
    if not is_sha256_of(claims.get("url_hash"), as_bytes(call.url)):
        return Refused(Cause.SIGNATURE_MISMATCH, "claim url_hash")
    stated = claims.get("payload_hash")
    # Without a body there must be no hash of one, and with a body there must be.
    fits = is_sha256_of(stated, call.body) if call.body else not stated
    return None if fits else Refused(Cause.SIGNATURE_MISMATCH, "claim payload_hash")


provider = Messagebird(
    name="messagebird",
    label="MessageBird",
    docs="https://developers.messagebird.com/api/#verifying-http-requests",
    signing="`MessageBird-Signature-JWT`: a token (HS256, HS384 or HS512) with the SHA-256 of the "
    "source's URL (`url_hash`) and of the body (`payload_hash`); valid for a minute",
    id=(),
    type=("json:type", "json:event", "form:status", "query:status"),
    methods=frozenset({"POST", "GET"}),
    setup="Give exactly the URL that this source shows to the flow, number or message; calls come "
    "by POST or GET. The secret is the signing key, in the dashboard under Developers, API access, "
    "beside the access keys, used as text.",
)
