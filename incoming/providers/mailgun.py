"""Mailgun. Only a time and a random token are signed, not the payload.

So the payload is no more trustworthy than TLS makes it, and a signature could serve any other
payload: the token is the id, and a token that comes again is a duplicate. Both bounds of the age
matter, since digits could be moved from the time to the token and back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.locator import as_text, locate
from incoming.providers.placing import place
from incoming.providers.proof import (
    hmac_signer,
    hmac_text,
    judge_age,
    read_signature,
    read_timestamp,
)
from incoming.providers.timestamp import Tolerance, write_timestamp
from webhooks_project.lib.ids import new_id

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
        moment, token, text = fields
        given = read_signature(text, "hex")
        if isinstance(given, Refused):
            return given
        signed_at = read_timestamp(moment, "s")
        if isinstance(signed_at, Refused):
            return signed_at
        signer = hmac_signer(secrets, given, as_bytes(moment + token))
        if isinstance(signer, Refused):
            return signer
        return judge_age(signer, signed_at, call, _TOLERANCE, tolerance_seconds)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        token = locate(call, self.id[0]) or new_id().hex
        stamp = write_timestamp(call.received_at, "s")
        signature = hmac_text(secret, as_bytes(stamp + token), "hex")
        for name, value in zip(_FIELDS, (stamp, token, signature), strict=True):
            call = place(call, f"json:signature.{name}", value)
        return call


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
    "The secret is the HTTP webhook signing key, on the page Sending, Webhooks (or Settings, API "
    "Security), which is not the API key.",
)
