"""Onfido."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="onfido",
    label="Onfido",
    docs="https://documentation.onfido.com/api/latest/#webhooks",
    signature_headers=("x-sha2-signature",),
    type=("json:payload.action",),
    setup="Create the webhook in the dashboard (Developers, Webhooks) or through the API. The "
    "secret is its token, shown once there or in the answer.",
)
