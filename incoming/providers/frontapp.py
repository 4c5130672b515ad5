"""Front, webhooks of an application; rule webhooks sign otherwise and are not covered."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import MAX_CHALLENGE_LENGTH, plain
from incoming.providers.recipe import Recipe


def _challenge(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    value = call.headers.get("x-front-challenge", "")
    return plain(value) if 0 < len(value) <= MAX_CHALLENGE_LENGTH else None


provider = Recipe(
    name="frontapp",
    label="Front",
    docs="https://dev.frontapp.com/docs/application-webhooks",
    signature_headers=("x-front-signature",),
    encoding="base64",
    message="{timestamp}:{body}",
    timestamp="header:x-front-request-timestamp",
    timestamp_unit="ms",
    id=("json:payload.id", "json:id"),
    type=("json:type", "json:payload.type"),
    on_handshake=_challenge,
    handshake_text="a POST with `X-Front-Challenge`: the value back as text",
    unsigned_handshake=True,
    setup="In the developer settings: the app's Features, Application webhooks, Server URL. The "
    "secret is the app's signing key.",
)
