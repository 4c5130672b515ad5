"""Flexport. It also sends an older SHA-1 signature, which is not looked at."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="flexport",
    label="Flexport",
    docs="https://developers.flexport.com/faq/webhooks/",
    signature_headers=("x-hub-signature-256",),
    prefix="sha256=",
    id=("json:id",),
    type=("json:type",),
    setup="In the account's settings: Webhook Endpoints. The secret is the endpoint's secret "
    "token.",
)
