"""Twitch EventSub. The message type is a header that is not signed, unlike the id and the time."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import challenge, plain
from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance


def _callback_verification(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | None:
    kind = call.headers.get("twitch-eventsub-message-type")
    if kind != "webhook_callback_verification" or not isinstance(call.json, dict):
        return None
    echo = challenge(call.json.get("challenge"))
    return plain(echo) if echo else None


provider = Recipe(
    name="twitch",
    label="Twitch",
    docs="https://dev.twitch.tv/docs/eventsub/handling-webhook-events/",
    signature_headers=("twitch-eventsub-message-signature",),
    prefix="sha256=",
    message="{header:twitch-eventsub-message-id}{timestamp}{body}",
    timestamp="header:twitch-eventsub-message-timestamp",
    timestamp_unit="iso",
    tolerance=Tolerance(600, 600),
    id=("header:twitch-eventsub-message-id",),
    type=("json:subscription.type",),
    on_handshake=_callback_verification,
    handshake_text="a signed `webhook_callback_verification`: its challenge back as text",
    setup="Create the EventSub subscription through the API with this URL as callback (port 443) "
    "and the secret of this source, 10 to 100 ASCII characters.",
)
