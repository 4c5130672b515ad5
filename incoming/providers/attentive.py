"""Attentive."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="attentive",
    label="Attentive",
    docs="https://docs.attentive.com/docs/webhook-authentication/",
    signature_headers=("x-attentive-hmac-sha256",),
    type=("json:type",),
    setup="In the app: Marketplace, the custom app's Webhooks tab. The secret is the signing key "
    "shown there.",
)
