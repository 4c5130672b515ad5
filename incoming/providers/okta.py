"""Okta event hooks: a static header, and a GET whose challenge comes in a header."""

from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import as_json, challenge
from incoming.providers.shared_token import SharedToken


def _verification(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | None:
    echo = challenge(call.headers.get("x-okta-verification-challenge"))
    return as_json({"verification": echo}) if call.method == "GET" and echo else None


provider = SharedToken(
    name="okta",
    label="Okta",
    docs="https://developer.okta.com/docs/guides/event-hook-implementation/",
    token_at=("header:authorization",),
    own_header=True,
    id=("json:eventId",),
    type=("json:data.events.*.eventType",),
    methods=frozenset({"POST", "GET"}),
    on_handshake=_verification,
    handshake_text="GET with `X-Okta-Verification-Challenge`: the value back in JSON",
    setup="In the Admin Console: Workflow, Event Hooks, Create. Authentication field Authorization "
    "(or the one named by the option `header`), authentication secret the secret of this source. "
    "Then Verify.",
)
