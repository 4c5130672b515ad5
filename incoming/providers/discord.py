"""Discord, both for interactions and for webhook events.

Discord sends calls with wrong signatures on purpose, and takes the URL away where one of them is
not answered 401.
"""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import as_json
from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import UNBOUNDED

_EVENTS_PING = 0
_INTERACTIONS_PING = 1


def _ping(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    payload = call.json
    # An event, too, is of type 1, but has the event in it.
    if not isinstance(payload, dict) or "event" in payload or "data" in payload:
        return None
    kind = payload.get("type")
    if isinstance(kind, bool):
        return None
    if kind == _EVENTS_PING:
        return Answer(status=204)
    return as_json({"type": _INTERACTIONS_PING}) if kind == _INTERACTIONS_PING else None


provider = Recipe(
    name="discord",
    label="Discord",
    docs="https://discord.com/developers/docs/events/webhook-events",
    signature_headers=("x-signature-ed25519",),
    algorithm="ed25519",
    message="{timestamp}{body}",
    timestamp="header:x-signature-timestamp",
    tolerance=UNBOUNDED,
    type=("json:event.type", "json:type"),
    on_handshake=_ping,
    handshake_text='a signed PING: 204 for webhook events, `{"type":1}` for interactions',
    setup="In the developer portal, the application's Webhooks page: this URL as endpoint. The "
    "secret is the application's public key, in hex, from General Information.",
)
