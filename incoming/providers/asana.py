"""Asana. The secret comes from Asana, in the first call, which is not signed with anything."""

from incoming.providers.handshake import echo_header
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="asana",
    label="Asana",
    docs="https://developers.asana.com/docs/webhooks-guide",
    signature_headers=("x-hook-signature",),
    type=("{json:events.*.resource.resource_type}.{json:events.*.action}",),
    on_handshake=echo_header("X-Hook-Secret", learn=True),
    handshake_text="a POST with `X-Hook-Secret`: the header back; the value is stored as the "
    "secret, once",
    unsigned_handshake=True,
    learns_secret=True,
    setup="Leave the secret empty and create the webhook through the API, with this URL as target: "
    "Asana sends the secret while it waits. One webhook a source, since each has a secret of its "
    "own. Empty heartbeats come every eight hours; a day without an answer deletes the webhook.",
)
