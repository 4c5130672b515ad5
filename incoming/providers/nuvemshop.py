"""Nuvemshop, also Tiendanube."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="nuvemshop",
    label="Nuvemshop",
    docs="https://tiendanube.github.io/api-documentation/resources/webhook",
    signature_headers=("x-linkedstore-hmac-sha256",),
    type=("json:event",),
    setup="Create the webhook through the API. The secret is the app's client secret, on its page "
    "in the partners' portal. The payload holds an id only: fetch the rest. Nuvemshop waits three "
    "seconds.",
)
