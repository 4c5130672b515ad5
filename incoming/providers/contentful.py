"""Contentful, the one third party here that signs headers.

Source of the signed text: @contentful/node-apps-toolkit, `requests/sign-request` and `utils`. The
names of the signed headers are one of the signed headers, so none can be left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.placing import place
from incoming.providers.proof import (
    hmac_signer,
    hmac_text,
    judge_age,
    read_signature,
    read_timestamp,
)
from incoming.providers.timestamp import Tolerance, write_timestamp

_SIGNATURE: Final = "x-contentful-signature"
_NAMES: Final = "x-contentful-signed-headers"
_TIMESTAMP: Final = "x-contentful-timestamp"
_TOLERANCE: Final = Tolerance(30, 300)
_URI_SAFE: Final = ";,/?:@&=+$-_.!~*'()#"  # what JavaScript's encodeURI leaves alone
_COMPONENT_SAFE: Final = "-_.!~*'()"  # what its encodeURIComponent leaves alone


@dataclass(frozen=True, kw_only=True)
class Contentful(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        given = read_signature(call.headers.get(_SIGNATURE), "hex")
        if isinstance(given, Refused):
            return given
        signed_at = read_timestamp(call.headers.get(_TIMESTAMP), "ms")
        if isinstance(signed_at, Refused):
            return signed_at
        message = _signed_text(call)
        if message is None:
            return Refused(Cause.SIGNATURE_MALFORMED, "the signed headers are not named")
        signer = hmac_signer(secrets, given, message)
        if isinstance(signer, Refused):
            return signer
        return judge_age(signer, signed_at, call, _TOLERANCE, tolerance_seconds)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        call = place(call, f"header:{_TIMESTAMP}", write_timestamp(call.received_at, "ms"))
        ours = [name for name in call.headers if name.startswith("x-contentful-")]
        call = place(call, f"header:{_NAMES}", ",".join(sorted({*ours, _NAMES})))
        message = _signed_text(call) or b""
        return place(call, f"header:{_SIGNATURE}", hmac_text(secret, message, "hex"))


def _signed_text(call: Call) -> bytes | None:
    """The list of names is made anew, sorted, as Contentful's own library makes it anew."""
    listed = call.headers.get(_NAMES)
    if listed is None:
        return None
    names = {name.strip().lower() for name in listed.split(",")} & call.headers.keys()
    ordered = sorted(names | {_NAMES, _TIMESTAMP})
    values = {name: call.headers[name].strip() for name in ordered} | {_NAMES: ",".join(ordered)}
    headers = ";".join(f"{name}:{values[name]}" for name in ordered)
    return as_bytes(f"{call.method}\n{signed_path(call.url)}\n{headers}\n") + call.body


def signed_path(url: str) -> str:
    """Path and query as Contentful encodes them: the query twice over."""
    _, _, rest = url.partition("://")
    _, slash, path_query = rest.partition("/")
    path, _, query = (slash + path_query).partition("?")
    query = query.partition("?")[0]
    escaped = quote(as_bytes(query), safe=_COMPONENT_SAFE)
    whole = f"{path}?{escaped}" if escaped else path
    return quote(as_bytes(whole or "/"), safe=_URI_SAFE)


provider = Contentful(
    name="contentful",
    label="Contentful",
    docs="https://www.contentful.com/developers/docs/webhooks/request-verification/",
    signing="`X-Contentful-Signature`: HMAC-SHA256 in hex over method, path, the headers that "
    "`X-Contentful-Signed-Headers` names, and body; `X-Contentful-Timestamp` (milliseconds) 30 s "
    "old, 300 s ahead at most",
    id=("header:x-contentful-idempotency-key",),
    type=("header:x-contentful-topic",),
    methods=frozenset({"POST", "GET", "PUT", "PATCH", "DELETE"}),  # the user chooses
    setup="In the space's settings: Webhooks, Settings, Enable request verification. The secret "
    "is the signing secret, 64 characters, used as text. Then add the webhook with exactly the "
    "URL that this source shows.",
)
