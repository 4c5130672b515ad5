"""Smartcar. To switch a webhook on it asks for an HMAC of a word; only a signed call gets one.

The same key signs the calls: to answer an unsigned question would be to sign what a stranger
chose, and the answer would do as the signature of that as a body.
"""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Cause, Refused, Secret
from incoming.providers.handshake import as_json, challenge, hmac_of
from incoming.providers.locator import dig
from incoming.providers.recipe import Recipe


def _verify_event(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    payload = call.json
    if not isinstance(payload, dict) or payload.get("eventType") != "VERIFY":
        return None
    word = challenge(dig(payload, "data.challenge"))
    digest = hmac_of(word, secrets) if word else None
    return as_json({"challenge": digest.hex()}) if digest else Refused(Cause.HANDSHAKE_REFUSED)


provider = Recipe(
    name="smartcar",
    label="Smartcar",
    docs="https://smartcar.com/docs/integrations/webhooks/payload-verification",
    signature_headers=("sc-signature",),
    id=("json:eventId",),
    type=("json:eventType",),
    on_handshake=_verify_event,
    handshake_text="a signed `VERIFY`: the HMAC-SHA256 of its challenge as JSON",
    setup="In the dashboard: Integrations, Webhooks, Add. The secret is the Application Management "
    "Token, in the dashboard under Configuration.",
)
