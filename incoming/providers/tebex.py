"""Tebex: an HMAC of the body's SHA-256 in hex, and an answer that repeats the id."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import as_json, challenge
from incoming.providers.recipe import Recipe


def _validation(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    payload = call.json
    if not isinstance(payload, dict) or payload.get("type") != "validation.webhook":
        return None
    echo = challenge(payload.get("id"))
    return as_json({"id": echo}) if echo else None


provider = Recipe(
    name="tebex",
    label="Tebex",
    docs="https://docs.tebex.io/developers/webhooks/overview",
    signature_headers=("x-signature",),
    message="{body_sha256}",
    id=("json:id",),
    type=("json:type",),
    on_handshake=_validation,
    handshake_text="a signed `validation.webhook`: its id back in JSON",
    setup="In the creator panel: Developers, Webhooks, Endpoints, Add, this URL. The secret is the "
    "one shown on the same page.",
)
