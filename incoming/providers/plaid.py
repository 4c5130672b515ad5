"""Plaid: a token in a header that holds the body's hash, by a key that Plaid's API gives.

Source: Plaid's documentation, "Webhook verification". The algorithm is fixed: a token that says
HS256 would be checked with what everybody can read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from incoming.providers import pinned
from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.jws import (
    as_object,
    check_issued_at,
    is_sha256_of,
    parse_token,
    read_claims,
)
from incoming.providers.public_key import load_public_key
from incoming.providers.timestamp import Tolerance

KEY_HOST: Final = r"(?:production|sandbox)\.plaid\.com"
_ENVIRONMENTS: Final = ("production", "sandbox")
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TOLERANCE: Final = Tolerance(300, 300)


@dataclass(frozen=True, kw_only=True)
class Plaid(Declaration):
    def check_options(self, options: Mapping[str, str]) -> None:
        super().check_options(options)
        if options.get("environment", "production") not in _ENVIRONMENTS:
            raise ValueError("option 'environment' must be production or sandbox")

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get("plaid-verification")
        if not header:
            return Refused(Cause.SIGNATURE_MISSING)
        token = parse_token(header, algorithms=("ES256",))
        if isinstance(token, Refused):
            return token
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        keys = [secret for secret in known if load_public_key(secret.value)]
        if not keys:
            keys = _fetched(token.key_id, known, (options or {}).get("environment", "production"))
            if not keys:
                return Refused(Cause.KEY_UNAVAILABLE)
        signed = read_claims(token, keys)
        if isinstance(signed, Refused):
            return signed
        signer, claims = signed
        if not is_sha256_of(claims.get("request_body_sha256"), call.body):
            return Refused(Cause.SIGNATURE_MISMATCH, "the body is not the one that was signed")
        tolerance = _TOLERANCE.or_chosen(tolerance_seconds)
        issued_at = check_issued_at(claims, now=call.received_at, tolerance=tolerance)
        if isinstance(issued_at, Refused):
            return issued_at
        return Verified(secret_id=signer.id, signed_at=issued_at)


def _fetched(key_id: str, secrets: Sequence[Secret], environment: str) -> list[Secret]:
    """The key of that id from Plaid's API, under the id of the credentials that it was asked
    with."""
    if not _KEY_ID.fullmatch(key_id):
        return []
    for secret in secrets:
        client_id, colon, api_secret = secret.value.partition(":")
        if not colon:
            continue
        body = pinned.fetch(
            f"https://{environment}.plaid.com/webhook_verification_key/get",
            host=KEY_HOST,
            json={"client_id": client_id, "secret": api_secret, "key_id": key_id},
            kept_as=f"plaid:{environment}:{client_id}:{key_id}",
        )
        key = (as_object(body) or {}).get("key") if body else None
        if isinstance(key, dict) and key.get("expired_at") is None:
            return [Secret(id=secret.id, value=orjson.dumps(key).decode())]
    return []


provider = Plaid(
    name="plaid",
    label="Plaid",
    docs="https://plaid.com/docs/api/webhooks/webhook-verification/",
    signing="`Plaid-Verification`: a token (ES256 only) whose `request_body_sha256` is the body's; "
    "`iat` 300 s old or ahead at most; the key is asked from Plaid's API or pinned",
    type=("{json:webhook_type}.{json:webhook_code}",),
    option_texts={"environment": "production (the default) or sandbox"},
    setup="Give this URL as webhook of the items. The secret is client_id:secret of the API, which "
    "the hub asks for Plaid's verification keys with; or such a key itself, as JWK or PEM.",
)
