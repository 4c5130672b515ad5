"""Bunny Stream. The event is a number: the status of a video."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="bunny-stream",
    label="Bunny Stream",
    docs="https://docs.bunny.net/docs/stream-webhook",
    signature_headers=("x-bunnystream-signature",),
    type=("json:Status",),
    setup="In the video library: API, Webhook URL. The secret is the library's read-only API key.",
)
