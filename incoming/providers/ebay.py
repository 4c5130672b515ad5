"""eBay. The signature header is base64 of JSON; the key is named in it and asked for with OAuth.

The hub does not hold eBay's OAuth tokens: the operator pins the public key, which eBay keeps for
long.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, decode_bytes
from incoming.providers.handshake import as_json, challenge
from incoming.providers.jws import as_object
from incoming.providers.proof import read_signature
from incoming.providers.public_key import PublicKey, is_signed_by, load_public_key


@dataclass(frozen=True, kw_only=True)
class Ebay(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        packed = read_signature(call.headers.get("x-ebay-signature"), "base64")
        if isinstance(packed, Refused):
            return packed
        signature = _signature(packed)
        if signature is None:
            return Refused(Cause.SIGNATURE_MALFORMED)
        keys = [(secret, key) for secret in usable(secrets) if (key := _key(secret))]
        if not keys:
            return Refused(Cause.SECRET_MISSING, "no public key is pinned")
        for secret, key in keys:
            if is_signed_by(key, call.body, signature, algorithm="ecdsa", hash="sha1"):
                return Verified(secret_id=secret.id)
        return Refused(Cause.SIGNATURE_MISMATCH)


def _signature(packed: bytes) -> bytes | None:
    text = (as_object(packed) or {}).get("signature")
    return decode_bytes(text, "base64") if isinstance(text, str) else None


def _key(secret: Secret) -> PublicKey | None:
    return load_public_key(secret.value)


def _endpoint_challenge(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    code = challenge(call.query.get("challenge_code"))
    if call.method != "GET" or code is None:
        return None
    tokens = [options.get("verification_token", "")]
    tokens += [secret.value for secret in secrets if _key(secret) is None]
    token = next((token for token in tokens if token), None)
    if token is None:
        return Refused(Cause.HANDSHAKE_REFUSED, "no verification token")
    endpoint = call.url.partition("?")[0]
    digest = hashlib.sha256(as_bytes(code + token + endpoint)).hexdigest()
    return as_json({"challengeResponse": digest})


provider = Ebay(
    name="ebay",
    label="eBay",
    docs="https://developer.ebay.com/marketplace-account-deletion",
    signing="`x-ebay-signature`: base64 of JSON, in it an ECDSA signature (SHA-1) of the body",
    id=("json:notification.notificationId",),
    type=("json:metadata.topic",),
    methods=frozenset({"POST", "GET"}),
    on_handshake=_endpoint_challenge,
    handshake_text="GET `?challenge_code=`: SHA-256 of code, verification token and URL as JSON",
    secret_options=frozenset({"verification_token"}),
    option_texts={"verification_token": "the verification token that is entered at eBay"},
    setup="In the developer account: Application Keys, Alerts and Notifications, with this URL and "
    "a verification token of your own (the option `verification_token`). The secret is the public "
    "key, in PEM, that the Notification API gives for the `kid` of the calls.",
)
