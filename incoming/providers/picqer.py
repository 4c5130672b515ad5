"""Picqer."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="picqer",
    label="Picqer",
    docs="https://picqer.com/en/api/webhooks",
    signature_headers=("x-picqer-signature",),
    encoding="base64",
    id=("{json:idhook}:{json:event_triggered_at}",),
    type=("json:event",),
    setup="Create the hook through the API with the secret of this source. A hook without a secret "
    "is not signed, and refused here.",
)
