"""Treezor: the signature is in the body, over its payload as PHP would write it again."""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.recipe import MAX_SIGNATURE_LENGTH


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
        if not isinstance(stated, str) or not stated:
            return Refused(Cause.SIGNATURE_MISSING)
        given = decode_bytes(stated, "base64") if len(stated) <= MAX_SIGNATURE_LENGTH else None
        message = as_php_writes(payload.get("object_payload"))
        if not given or message is None:
            return Refused(Cause.SIGNATURE_MALFORMED)
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        for secret in known:
            expected = hmac.digest(as_bytes(secret.value), message, "sha256")
            if hmac.compare_digest(expected, given):
                return Verified(secret_id=secret.id)
        return Refused(Cause.SIGNATURE_MISMATCH)


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
    type=("json:webhook",),
    setup="Create the hook through the webhook API. Treezor's account manager gives the secret.",
)
