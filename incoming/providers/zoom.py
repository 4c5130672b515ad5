"""Zoom. Every 72 hours it asks for an HMAC of a token, in a call that is itself signed."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.handshake import as_json, challenge, hmac_of
from incoming.providers.locator import dig
from incoming.providers.recipe import Recipe


def _url_validation(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    payload = call.json
    if not isinstance(payload, dict) or payload.get("event") != "endpoint.url_validation":
        return None
    token = challenge(dig(payload, "payload.plainToken"))
    verdict = provider.verify(call, secrets)
    if isinstance(verdict, Verified):  # while secrets are rotated: the one that Zoom has
        secrets = [secret for secret in secrets if secret.id == verdict.secret_id]
    digest = hmac_of(token, secrets) if token else None
    if token is None or digest is None:
        return Refused(Cause.HANDSHAKE_REFUSED)
    return as_json({"plainToken": token, "encryptedToken": digest.hex()})


provider = Recipe(
    name="zoom",
    label="Zoom",
    docs="https://developers.zoom.us/docs/api/webhooks/",
    signature_headers=("x-zm-signature",),
    prefix="v0=",
    message="v0:{timestamp}:{body}",
    timestamp="header:x-zm-request-timestamp",
    type=("json:event",),
    on_handshake=_url_validation,
    handshake_text="a signed `endpoint.url_validation`: the token and its HMAC-SHA256 as JSON",
    setup="In the app's features: Event Subscriptions, this URL, Validate. The secret is the app's "
    "secret token, under Features, Access (it is not the client secret). Zoom waits three seconds.",
)
