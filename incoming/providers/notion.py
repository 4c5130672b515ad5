"""Notion. Its first call, not signed, holds the token that all later ones are signed with."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Cause, Refused, Secret
from incoming.providers.handshake import challenge, learn_secret
from incoming.providers.recipe import Recipe


def _verification_token(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | Refused | None:
    payload = call.json
    if "x-notion-signature" in call.headers or not isinstance(payload, dict):
        return None
    token = challenge(payload.get("verification_token"))
    if token is None:
        return None
    learned = learn_secret(token, secrets)
    if learned is None:
        return Refused(Cause.HANDSHAKE_REFUSED, "the source has another secret already")
    return Answer(learned_secret=learned)


provider = Recipe(
    name="notion",
    label="Notion",
    docs="https://developers.notion.com/reference/webhooks",
    signature_headers=("x-notion-signature",),
    prefix="sha256=",
    id=("json:id",),
    type=("json:type",),
    on_handshake=_verification_token,
    handshake_text="a POST with a `verification_token`: 200; the token is stored as the secret, "
    "once",
    unsigned_handshake=True,
    learns_secret=True,
    shows_learned_secret=True,
    setup="Leave the secret empty. In the integration's settings: Webhooks, Create a subscription. "
    "Notion sends its token here; copy it from this source into Notion's Verify.",
)
