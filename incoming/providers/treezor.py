"""Treezor: the signature is in the body, over its payload as PHP would write it again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.locator import dig
from incoming.providers.placing import place
from incoming.providers.proof import hmac_signer, hmac_text, read_signature


@dataclass(frozen=True, kw_only=True)
class Treezor(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        payload = call.json if isinstance(call.json, dict) else {}
        stated = payload.get("object_payload_signature")
        given = read_signature(stated if isinstance(stated, str) else None, "base64")
        if isinstance(given, Refused):
            return given
        message = as_php_writes(payload.get("object_payload"))
        if message is None:
            return Refused(Cause.SIGNATURE_MALFORMED)
        signer = hmac_signer(secrets, given, message)
        return signer if isinstance(signer, Refused) else Verified(secret_id=signer.id)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        message = as_php_writes(dig(call.json, "object_payload")) or b""
        text = hmac_text(secret, message, "base64")
        return place(call, "json:object_payload_signature", text)


def as_php_writes(value: Any) -> bytes | None:
    """PHP's json_encode without flags: no spaces, ASCII only, slashes escaped."""
    try:
        text = json.dumps(value, separators=(",", ":"))
    except RecursionError:
        return None
    return text.replace("/", "\\/").encode("ascii")


provider = Treezor(
    name="treezor",
    label="Treezor",
    docs="https://docs.treezor.com/guide/webhooks/integrity-checks.html",
    signing="`object_payload_signature` in the JSON body: HMAC-SHA256 in base64 over "
    "`object_payload` as PHP writes it; the rest of the body is **not** covered",
    id=("json:webhook_id",),
    sample_body=b'{"object":"user","object_id":"1","object_payload":{"users":[{"userId":1}]}}',
    type=("json:webhook",),
    setup="Create the hook through the webhook API. The secret, one for sandbox and one for "
    "production, comes from Treezor's account manager.",
)
