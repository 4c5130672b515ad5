"""Commerce Layer."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="commercelayer",
    label="Commerce Layer",
    docs="https://docs.commercelayer.io/core/callbacks-security",
    signature_headers=("x-commercelayer-signature",),
    encoding="base64",
    type=("header:x-commercelayer-topic",),
    setup="Create the webhook through the API. The secret is the shared_secret in the answer. "
    "Thirty failures in a row open its circuit breaker.",
)
