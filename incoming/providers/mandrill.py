"""Mandrill (Mailchimp Transactional): Twilio's way, but a field that comes twice counts twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from incoming.providers.call import Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.form import sorted_form
from incoming.providers.handshake import ok_to
from incoming.providers.locator import first
from incoming.providers.placing import place
from incoming.providers.proof import hmac_signer, hmac_text, read_signature


@dataclass(frozen=True, kw_only=True)
class Mandrill(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        given = read_signature(call.headers.get("x-mandrill-signature"), "base64")
        if isinstance(given, Refused):
            return given
        pairs = call.form_pairs
        if pairs is None or (call.body and not pairs):
            return Refused(Cause.SIGNATURE_MISMATCH, "the body is no form")
        message = as_bytes(call.url + sorted_form(pairs, unique=False))
        signer = hmac_signer(secrets, given, message, hash="sha1")
        return signer if isinstance(signer, Refused) else Verified(secret_id=signer.id)

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        event = {
            "_id": identity.external_id,
            "event": identity.type,
            "ts": int(call.received_at),
            "msg": {"_id": identity.external_id, "email": "sample@example.com"},
        }
        return place(call, "form:mandrill_events", orjson.dumps([event]).decode())

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        message = as_bytes(call.url + sorted_form(call.form_pairs or [], unique=False))
        text = hmac_text(secret, message, "base64", hash="sha1")
        return place(call, "header:x-mandrill-signature", text)

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        """The events are JSON in a form field; one call holds up to a thousand."""
        events = Call(call.method, call.url, {}, as_bytes(_events(call)), call.received_at)
        return Identity(
            external_id=first(events, ("{json:*._id}:{json:*.event}:{json:*.ts}",)),
            type=first(events, ("json:*.event", "json:*.type")),
        )


def _events(call: Call) -> str:
    return call.form.get("mandrill_events", "")


provider = Mandrill(
    name="mandrill",
    label="Mandrill",
    docs="https://mailchimp.com/developer/transactional/guides/track-respond-activity-webhooks/",
    signing="`X-Mandrill-Signature`: HMAC-SHA1 in base64 over the source's URL and the form's "
    "names and values, sorted",
    methods=frozenset({"POST", "HEAD", "GET"}),
    on_handshake=ok_to("HEAD", "GET"),
    handshake_text="HEAD: 200",
    setup="In the settings: Webhooks, Add, with exactly the URL that this source shows. The secret "
    "is the webhook's key. The test call before it is saved is signed with `test-webhook` and "
    "refused here: HEAD is enough for Mandrill.",
)
