"""Solidgate: the key's public half around the body, and base64 of the hex digits, not of bytes."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="solidgate",
    label="Solidgate",
    docs="https://docs.solidgate.com/payments/integrate/webhooks/",
    signature_headers=("signature",),
    hash="sha512",
    encoding="base64-of-hex",
    message="{header:merchant}{body}{header:merchant}",
    id=("header:solidgate-event-id",),
    type=("header:solidgate-event-type",),
    setup="In the Hub: Developers, Channels, the webhook's URL and events. The secret is the "
    "webhook secret key (wh_sk_…), under Developers beside the API keys; the public one comes in a "
    "header.",
)
