"""Coinbase Commerce."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="coinbase-commerce",
    label="Coinbase Commerce",
    docs="https://docs.cdp.coinbase.com/commerce-onchain/docs/webhooks-security",
    signature_headers=("x-cc-webhook-signature",),
    id=("json:event.id",),
    type=("json:event.type",),
    setup="In the settings: Notifications, Add an endpoint. The secret is the webhook shared "
    "secret shown there.",
)
