"""Dropbox. The challenge is a GET, and its echo must be plain text that no browser sniffs."""

from incoming.providers.handshake import echo_query
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="dropbox",
    label="Dropbox",
    docs="https://www.dropbox.com/developers/reference/webhooks",
    signature_headers=("x-dropbox-signature",),
    methods=frozenset({"POST", "GET"}),
    on_handshake=echo_query("challenge"),
    handshake_text="GET `?challenge=`: the challenge back as text",
    setup="In the App Console: the app's Settings tab, Webhook URIs. The secret is the app secret, "
    "behind Show on the same tab. The payload only names accounts that changed: fetch the changes.",
)
