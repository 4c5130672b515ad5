"""Slack. Its URL check is itself signed, and answered only once the signature is right."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import challenge, plain
from incoming.providers.recipe import Recipe


def _url_verification(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | None:
    payload = call.json
    if not isinstance(payload, dict) or payload.get("type") != "url_verification":
        return None
    echo = challenge(payload.get("challenge"))
    return plain(echo) if echo else None


provider = Recipe(
    name="slack",
    label="Slack",
    docs="https://docs.slack.dev/authentication/verifying-requests-from-slack",
    signature_headers=("x-slack-signature",),
    prefix="v0=",
    message="v0:{timestamp}:{body}",
    timestamp="header:x-slack-request-timestamp",
    id=("json:event_id",),
    type=("json:event.type", "json:type", "form:command"),
    on_handshake=_url_verification,
    handshake_text="a signed POST of type `url_verification`: its challenge back as text",
    setup="In the app's settings: Event Subscriptions, Request URL. The secret is the app's "
    "signing secret, under Basic Information. Slack waits three seconds.",
)
