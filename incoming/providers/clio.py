"""Clio, whose handshake is Asana's."""

from incoming.providers.handshake import echo_header
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="clio",
    label="Clio",
    docs="https://docs.developers.clio.com/api-reference/#tag/Webhooks",
    signature_headers=("x-hook-signature",),
    type=("json:meta.event",),
    on_handshake=echo_header("X-Hook-Secret", learn=True),
    handshake_text="a POST with `X-Hook-Secret`: the header back; the value is stored as the "
    "secret, once",
    unsigned_handshake=True,
    learns_secret=True,
    setup="Leave the secret empty and create the webhook through the API: Clio sends the secret "
    "while it waits; or enter the shared_secret that the API gives for the webhook. Webhooks end "
    "after three days unless expires_at says otherwise (31 at most).",
)
