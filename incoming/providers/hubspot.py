"""HubSpot, three versions; only the newest that the call has is looked at.

v1 and v2 are plain hashes with the client secret in front. v3 has the URL decoded: what HubSpot
decodes is told in more than one way, so the URL is tried as it stands and decoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.recipe import Recipe

_V3: Final = Recipe(
    signature_headers=("x-hubspot-signature-v3",),
    encoding="base64",
    message="{method}{url}{body}{timestamp}",
    timestamp="header:x-hubspot-request-timestamp",
    timestamp_unit="ms",
)
_OLDER: Final = {
    "v1": Recipe(
        signature_headers=("x-hubspot-signature",), algorithm="digest", message="{secret}{body}"
    ),
    "v2": Recipe(
        signature_headers=("x-hubspot-signature",),
        algorithm="digest",
        message="{secret}{method}{url}{body}",
    ),
}
_DECODED: Final = {
    f"%{ord(character):02X}": character for character in ":/@!$'()*,;"
}  # HubSpot's list; a question mark, which would begin a query, stays encoded


@dataclass(frozen=True, kw_only=True)
class Hubspot(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        if not _V3.applies(call):
            older = _OLDER.get(call.headers.get("x-hubspot-signature-version", "v1"))
            if older is None:
                return Refused(Cause.SIGNATURE_MALFORMED, "unknown signature version")
            return older.verify(call, secrets)
        verdict: Verified | Refused = Refused(Cause.SIGNATURE_MISMATCH)
        for url in _spellings(call.url):
            verdict = _V3.verify(
                replace(call, url=url), secrets, tolerance_seconds=tolerance_seconds
            )
            if verdict != Refused(Cause.SIGNATURE_MISMATCH):
                break
        return verdict

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        return _V3.sign(call, secret)


def _spellings(url: str) -> list[str]:
    """The URL as it stands, with HubSpot's list of characters decoded, and with all of them."""
    listed = url
    for encoded, character in _DECODED.items():
        listed = listed.replace(encoded, character).replace(encoded.lower(), character)
    whole = "%3F".join(unquote(piece) for piece in re.split("%3F", url, flags=re.IGNORECASE))
    return list(dict.fromkeys((url, listed, whole)))


provider = Hubspot(
    name="hubspot",
    label="HubSpot",
    docs="https://developers.hubspot.com/docs/apps/legacy-apps/authentication/validating-requests",
    signing="`X-HubSpot-Signature-v3`: HMAC-SHA256 in base64 over method, URL, body and "
    "`X-HubSpot-Request-Timestamp` (milliseconds, 300 s old or ahead at most); without it "
    "`X-HubSpot-Signature`, SHA-256 in hex over secret and body (v1) or secret, method, URL and "
    "body (v2)",
    # HubSpot does not promise that an event's id is its own.
    id=("{json:*.eventId}:{json:*.occurredAt}", "json:*.eventId", "json:eventId"),
    type=("json:*.subscriptionType", "json:subscriptionType"),
    setup="In the app's settings: Webhooks, Target URL, exactly the one that this source shows. "
    "The secret is the app's client secret, on its Auth tab.",
)
