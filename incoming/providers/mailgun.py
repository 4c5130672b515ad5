"""Mailgun. Only a time and a random token are signed, not the payload.

So the payload is no more trustworthy than TLS makes it, and a signature could serve any other
payload: the token is the id, and a token that comes again is a duplicate. Both bounds of the age
matter, since digits could be moved from the time to the token and back.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.locator import as_text
from incoming.providers.recipe import MAX_SIGNATURE_LENGTH
from incoming.providers.timestamp import Tolerance, parse_timestamp

_FIELDS: Final = ("timestamp", "token", "signature")
_TOLERANCE: Final = Tolerance(300, 300)


@dataclass(frozen=True, kw_only=True)
class Mailgun(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        fields = _signature_fields(call)
        if fields is None:
            return Refused(Cause.SIGNATURE_MISSING)
        moment, token, signature = fields
        if len(signature) > MAX_SIGNATURE_LENGTH or not (given := decode_bytes(signature, "hex")):
            return Refused(Cause.SIGNATURE_MALFORMED)
        signed_at = parse_timestamp(moment, "s")
        if signed_at is None:
            return Refused(Cause.TIMESTAMP_MALFORMED)
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        for secret in known:
            expected = hmac.digest(as_bytes(secret.value), as_bytes(moment + token), "sha256")
            if hmac.compare_digest(expected, given):
                tolerance = _TOLERANCE.or_chosen(tolerance_seconds)
                stale = tolerance.check(signed_at, now=call.received_at)
                return stale or Verified(secret_id=secret.id, signed_at=signed_at)
        return Refused(Cause.SIGNATURE_MISMATCH)


def _signature_fields(call: Call) -> list[str] | None:
    """Timestamp, token and signature: an object in JSON, form fields where mail is forwarded."""
    payload = call.json
    holder = payload.get("signature") if isinstance(payload, dict) else call.form
    if not isinstance(holder, dict):
        return None
    values = [as_text(holder.get(name)) for name in _FIELDS]
    fields = [value for value in values if value]
    return fields if len(fields) == len(_FIELDS) else None


provider = Mailgun(
    name="mailgun",
    label="Mailgun",
    docs="https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks",
    signing="`signature` in the JSON body (or form fields): HMAC-SHA256 in hex over `{timestamp}"
    "{token}`; the payload is **not** covered; 300 s old or ahead at most",
    id=("json:signature.token", "form:token"),
    type=("json:event-data.event", "form:event"),
    setup="In the control panel: Sending, Webhooks, Add webhook; or a route that forwards mail. "
    "The secret is the HTTP webhook signing key, which is not the API key.",
)
