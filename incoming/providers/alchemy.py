"""Alchemy Notify."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="alchemy",
    label="Alchemy",
    docs="https://www.alchemy.com/docs/reference/notify-api-quickstart",
    signature_headers=("x-alchemy-signature",),
    id=("json:id",),
    type=("json:type",),
    setup="In the dashboard: Webhooks, Create. The secret is the webhook's signing key, on its "
    "page.",
)
