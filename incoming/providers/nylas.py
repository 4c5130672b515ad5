"""Nylas. Compressed notifications are signed as they travel, compressed."""

from incoming.providers.handshake import echo_query
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="nylas",
    label="Nylas",
    docs="https://developer.nylas.com/docs/v3/notifications/webhooks/",
    signature_headers=("x-nylas-signature",),
    id=("json:id",),
    type=("json:type",),
    methods=frozenset({"POST", "GET"}),
    on_handshake=echo_query("challenge"),
    handshake_text="GET `?challenge=`: the challenge back as text, within ten seconds",
    setup="Create the webhook through the API or the dashboard. The secret is the webhook_secret, "
    "shown in the answer, or when the webhook is made in the dashboard. Compressed delivery may be "
    "on or off.",
)
