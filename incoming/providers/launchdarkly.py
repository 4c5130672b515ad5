"""LaunchDarkly. Signing is optional there, not here."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="launchdarkly",
    label="LaunchDarkly",
    docs="https://launchdarkly.com/docs/home/infrastructure/webhooks",
    signature_headers=("x-ld-signature",),
    id=("json:_id",),
    type=("json:kind",),
    setup="In the integrations: Webhooks, Add. Tick Sign this webhook and copy the secret that is "
    "generated.",
)
