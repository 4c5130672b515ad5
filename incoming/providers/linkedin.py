"""LinkedIn: a GET, every two hours, asks for an HMAC of a code.

The same key signs the calls, with `hmacsha256=` before the body: a code that began so would get
an answer that does as a signature. So only codes that look like the UUID they are get one.
"""

import re
from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Cause, Refused, Secret
from incoming.providers.handshake import as_json, hmac_of
from incoming.providers.recipe import Recipe

_CODE = re.compile(r"[A-Za-z0-9-]{1,64}")


def _validation(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    code = call.query.get("challengeCode")
    if call.method != "GET" or code is None:
        return None
    digest = hmac_of(code, secrets) if _CODE.fullmatch(code) else None
    if digest is None:
        return Refused(Cause.HANDSHAKE_REFUSED)
    return as_json({"challengeCode": code, "challengeResponse": digest.hex()})


provider = Recipe(
    name="linkedin",
    label="LinkedIn",
    docs="https://learn.microsoft.com/en-us/linkedin/shared/api-guide/webhook-validation",
    signature_headers=("x-li-signature",),
    message="hmacsha256={body}",
    id=("json:notificationId",),
    type=("json:type", "json:eventType"),
    methods=frozenset({"POST", "GET"}),
    on_handshake=_validation,
    handshake_text="GET `?challengeCode=`: the code and its HMAC-SHA256 as JSON, within three "
    "seconds",
    setup="In the developer portal: the app's Webhooks, Create webhook. The secret is the app's "
    "client secret (Primary Client Secret), on its Auth tab.",
)
