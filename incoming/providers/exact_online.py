"""Exact Online: the signature is in the body, over a part of it as it stands.

When a subscription is made an empty POST comes, which must be answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.proof import hmac_signer, hmac_text, read_signature

_BEFORE: Final = b'{"Content":'
_BETWEEN: Final = b',"HashCode":"'
_AFTER: Final = b'"}'


@dataclass(frozen=True, kw_only=True)
class ExactOnline(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        body = call.body.strip()
        content, between, tail = body.removeprefix(_BEFORE).rpartition(_BETWEEN)
        if not between or not body.startswith(_BEFORE):
            return Refused(Cause.SIGNATURE_MISSING)
        if not tail.endswith(_AFTER):
            return Refused(Cause.SIGNATURE_MALFORMED)
        given = read_signature(tail.removesuffix(_AFTER).decode("ascii", "replace"), "hex")
        if isinstance(given, Refused):
            return given
        signer = hmac_signer(secrets, given, content)
        return signer if isinstance(signer, Refused) else Verified(secret_id=signer.id)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        content = call.json.get("Content") if isinstance(call.json, dict) else None
        if content is None:
            return call
        text = orjson.dumps(content)
        signature = hmac_text(secret, text, "hex").upper().encode()
        return replace(call, body=_BEFORE + text + _BETWEEN + signature + _AFTER)


def _validation(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    return Answer() if call.method == "POST" and not call.body else None


provider = ExactOnline(
    name="exact-online",
    label="Exact Online",
    docs="https://support.exactonline.com/community/s/knowledge-base#All-All-DNO-Content-webhooksc",
    signing="`HashCode` in the JSON body: HMAC-SHA256 in hex over the text of `Content` as it "
    "stands",
    type=("{json:Content.Topic}.{json:Content.Action}",),
    on_handshake=_validation,
    handshake_text="an empty POST when the subscription is made: 200",
    unsigned_handshake=True,
    setup="Subscribe through the API with this URL as CallbackURL. The secret is the app's webhook "
    "secret, on its page in the App Center (it is not the client secret). The payload holds a key "
    "only: fetch the rest.",
)
