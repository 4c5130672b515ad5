"""SHOPLINE: Shopify's header, but hex."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="shopline",
    label="SHOPLINE",
    docs="https://developer.shopline.com/docs/apps/api-instructions-for-use/"
    "generate-and-verify-signatures/",
    signature_headers=("x-shopline-hmac-sha256",),
    id=("header:x-shopline-webhook-id",),
    type=("header:x-shopline-topic",),
    setup="Subscribe through the Admin API. The secret is the app secret, in the Developer Center.",
)
