"""Twilio: SHA-1 over the public URL and the sorted form.

A JSON body is covered by its SHA-256 in the URL's `bodySHA256`; a body that is neither form nor so
covered is refused. Twilio itself is not of one mind about the port in the URL, so both are tried.
Source: twilio-python, `request_validator`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.form import sorted_form
from incoming.providers.placing import place
from incoming.providers.proof import hmac_signer, hmac_text, read_signature

_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, kw_only=True)
class Twilio(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        given = read_signature(call.headers.get("x-twilio-signature"), "base64")
        if isinstance(given, Refused):
            return given
        form = _signed_form(call)
        if form is None:
            return Refused(Cause.SIGNATURE_MISMATCH, "the body is not covered by the signature")
        messages = [as_bytes(url + form) for url in (without_port(call.url), with_port(call.url))]
        signer = hmac_signer(secrets, given, *messages, hash="sha1")
        return signer if isinstance(signer, Refused) else Verified(secret_id=signer.id)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        if not call.form_pairs and call.body:
            call = place(call, "query:bodySHA256", hashlib.sha256(call.body).hexdigest())
        message = as_bytes(call.url + (_signed_form(call) or ""))
        text = hmac_text(secret, message, "base64", hash="sha1")
        return place(call, "header:x-twilio-signature", text)


def _signed_form(call: Call) -> str | None:
    """What of the body is signed besides the URL; None where the body is not what was signed."""
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    stated = call.query.get("bodySHA256")
    if stated is not None and kind != "application/x-www-form-urlencoded":
        digest = decode_bytes(stated, "hex") or b""
        fits = hmac.compare_digest(hashlib.sha256(call.body).digest(), digest)
        return "" if fits else None
    if not call.body:
        return ""
    if not call.form_pairs:
        return None
    return sorted_form(call.form_pairs, unique=True)


def without_port(url: str) -> str:
    scheme, host, rest = _parts(url)
    name, colon, port = host.rpartition(":")
    return f"{scheme}://{name}{rest}" if colon and port.isdecimal() else url


def with_port(url: str) -> str:
    scheme, host, rest = _parts(url)
    _, colon, port = host.rpartition(":")
    if (colon and port.isdecimal()) or scheme not in _PORTS:
        return url
    return f"{scheme}://{host}:{_PORTS[scheme]}{rest}"


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme, host with port, and all the rest as it stands: joining again must not change it."""
    scheme, _, tail = url.partition("://")
    end = min((at for at in map(tail.find, "/?#") if at >= 0), default=len(tail))
    return scheme, tail[:end], tail[end:]


provider = Twilio(
    name="twilio",
    label="Twilio",
    docs="https://www.twilio.com/docs/usage/security",
    signing="`X-Twilio-Signature`: HMAC-SHA1 in base64 over the source's URL and the form's names "
    "and values, sorted; for JSON over the URL with `bodySHA256`",
    id=("header:i-twilio-idempotency-token", "json:*.id"),
    type=(
        "form:EventType",
        "form:MessageStatus",
        "form:CallStatus",
        "form:SmsStatus",
        "query:EventType",
        "query:MessageStatus",
        "query:CallStatus",
        "query:SmsStatus",
        "json:*.type",
    ),
    methods=frozenset({"POST", "GET"}),
    acknowledgement=Answer(body=b"<Response/>", content_type="text/xml; charset=utf-8"),
    setup="Give exactly the URL that this source shows to the number, service or sink, by POST or "
    "GET. The secret is the account's auth token, in the Console under Account Info (a subaccount "
    "has its own). The answer is empty TwiML: the hub does not steer calls.",
)
