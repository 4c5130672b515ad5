"""X, formerly Twitter: a GET, about hourly, asks for an HMAC of a token.

The same key signs the calls, in the same encoding: a token that was JSON would get an answer that
does as the signature of that JSON as a body. So only tokens without braces are answered.
"""

import base64
import re
from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Cause, Refused, Secret
from incoming.providers.handshake import as_json, hmac_of
from incoming.providers.recipe import Recipe

_TOKEN = re.compile(r"[A-Za-z0-9+/=_-]{1,256}")


def _challenge_response_check(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    token = call.query.get("crc_token")
    if call.method != "GET" or token is None:
        return None
    digest = hmac_of(token, secrets) if _TOKEN.fullmatch(token) else None
    if digest is None:
        return Refused(Cause.HANDSHAKE_REFUSED)
    return as_json({"response_token": "sha256=" + base64.b64encode(digest).decode()})


provider = Recipe(
    name="twitter",
    label="X (Twitter)",
    docs="https://docs.x.com/x-api/webhooks/quickstart",
    signature_headers=("x-twitter-webhooks-signature",),
    prefix="sha256=",
    encoding="base64",
    methods=frozenset({"POST", "GET"}),
    on_handshake=_challenge_response_check,
    handshake_text="GET `?crc_token=`: the token's HMAC-SHA256 as JSON",
    setup="Register this URL (no port in it) through the webhooks API. The secret is the app's "
    "consumer secret, called API Key Secret, under Keys and tokens in the developer portal.",
)
