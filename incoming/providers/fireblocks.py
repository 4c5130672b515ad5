"""Fireblocks: a detached token (RS512), or the older RSA signature of the body.

The token's key is fetched by its id from Fireblocks' key host, or pinned; the older key can only
be pinned.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.jws import find_signer, parse_token, published_keys
from incoming.providers.recipe import Recipe

_KEYS_URL: Final = "https://keys.fireblocks.io/.well-known/jwks.json"
_KEYS_HOST: Final = r"keys\.fireblocks\.io"
_OLDER: Final = Recipe(
    signature_headers=("fireblocks-signature",), algorithm="rsa", hash="sha512", encoding="base64"
)


@dataclass(frozen=True, kw_only=True)
class Fireblocks(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get("fireblocks-webhook-signature")
        if not header:
            return _OLDER.verify(call, secrets)
        body = base64.urlsafe_b64encode(call.body).rstrip(b"=")
        token = parse_token(header, algorithms=("RS512",), detached=body)
        if isinstance(token, Refused):
            return token
        keys = usable(secrets) or published_keys(_KEYS_URL, host=_KEYS_HOST, key_id=token.key_id)
        if not keys:
            return Refused(Cause.KEY_UNAVAILABLE)
        signer = find_signer(token, keys)
        return signer if isinstance(signer, Refused) else Verified(secret_id=signer.id)


provider = Fireblocks(
    name="fireblocks",
    label="Fireblocks",
    docs="https://developers.fireblocks.com/reference/validating-webhooks",
    signing="`Fireblocks-Webhook-Signature`: a detached token (RS512) over the body; without it "
    "`Fireblocks-Signature`: RSA PKCS #1 v1.5 with SHA-512 in base64 over the body",
    id=("json:id",),
    type=("json:eventType", "json:type"),
    setup="In the Console: Developer Center, Webhooks, this URL. No secret is needed: the key is "
    "fetched from keys.fireblocks.io. For another region or for the older signature give the key "
    "itself, as JWK or PEM, from Fireblocks' documentation on validating webhooks.",
)
