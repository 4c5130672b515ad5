"""Braintree: a form with a signed payload, and a challenge in a GET.

The key is the SHA-1 of the private key. Each signature stands beside the public key that it
belongs to, so a source's secret is the pair. Source: braintree_python, the webhook notification
gateway.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from incoming.providers.call import Answer, Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes, key_bytes
from incoming.providers.handshake import plain
from incoming.providers.locator import first
from incoming.providers.placing import FORM_TYPE, place
from incoming.providers.proof import MAX_SIGNATURE_LENGTH
from incoming.providers.recipe import MAX_CANDIDATES
from incoming.providers.timestamp import write_timestamp

_CHALLENGE: Final = re.compile(r"[a-f0-9]{20,32}")
_PAYLOAD: Final = re.compile(r"[A-Za-z0-9+=/\n]+")


@dataclass(frozen=True, kw_only=True)
class Braintree(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        stated = call.form.get("bt_signature")
        payload = call.form.get("bt_payload")
        if not stated or not payload:
            return Refused(Cause.SIGNATURE_MISSING)
        pairs = _pairs(stated)
        if not pairs or not _PAYLOAD.fullmatch(payload):
            return Refused(Cause.SIGNATURE_MALFORMED)
        known = usable(secrets)
        if not known:
            return Refused(Cause.SECRET_MISSING)
        for secret in known:
            public, key = _keys(secret)
            for stated_public, given in pairs:
                # A trailing line break is sometimes lost on the way, but was signed.
                if (
                    stated_public == public
                    and key
                    and any(
                        hmac.compare_digest(hmac.digest(key, as_bytes(text), "sha1"), given)
                        for text in (payload, payload + "\n")
                    )
                ):
                    return Verified(secret_id=secret.id)
        return Refused(Cause.SIGNATURE_MISMATCH)

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        try:
            xml = base64.b64decode(as_bytes(call.form.get("bt_payload", "")))
        except (ValueError, binascii.Error):
            return Identity()
        return Identity(type=first(replace(call, body=xml), self.type))

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        moment = write_timestamp(call.received_at, "iso")
        return place(super().sample(call, identity, options), "xml:timestamp", moment)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        """The XML of a notification as its signed form; of a form the payload is signed anew."""
        public, key = _keys(secret)
        if key is None:
            return call
        payload = call.form.get("bt_payload") or base64.encodebytes(call.body).decode()
        signature = hmac.digest(key, as_bytes(payload), "sha1").hex()
        call = replace(call, body=b"", headers={**call.headers, "content-type": FORM_TYPE})
        call = place(call, "form:bt_signature", f"{public}|{signature}")
        return place(call, "form:bt_payload", payload)


def _pairs(stated: str) -> list[tuple[str, bytes]]:
    """`public|signature`, several with `&` between."""
    pairs = []
    for part in stated[:MAX_SIGNATURE_LENGTH].split("&")[:MAX_CANDIDATES]:
        public, bar, text = part.partition("|")
        if bar and (given := decode_bytes(text, "hex")):
            pairs.append((public, given))
    return pairs


def _keys(secret: Secret) -> tuple[str, bytes | None]:
    public, bar, private = secret.value.partition("|")
    return public, key_bytes(private, "sha1") if bar else None


def _challenge(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    text = call.query.get("bt_challenge")
    if call.method != "GET" or text is None:
        return None
    known = usable(secrets)
    public, key = _keys(known[0]) if known else ("", None)
    if key is None or not _CHALLENGE.fullmatch(text):
        return Refused(Cause.HANDSHAKE_REFUSED)
    return plain(f"{public}|{hmac.digest(key, as_bytes(text), 'sha1').hex()}")


provider = Braintree(
    name="braintree",
    label="Braintree",
    docs="https://developer.paypal.com/braintree/docs/guides/webhooks/parse",
    signing="the form field `bt_signature`, pairs of public key and HMAC-SHA1 (keyed with the SHA-1"
    " of the private key) in hex over the field `bt_payload`",
    type=("xml:kind",),
    sample_body=b"<notification><timestamp></timestamp><kind></kind><subject/></notification>",
    methods=frozenset({"POST", "GET"}),
    on_handshake=_challenge,
    handshake_text="GET `?bt_challenge=`: public key and HMAC of the challenge as text",
    setup="In the Control Panel: API, Webhooks, Create. The secret is the API key pair with a bar "
    "between, public_key|private_key.",
)
