"""Bridge API (bridgeapi.io). Its hex is upper-case, which makes no difference here."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="bridge-api",
    label="Bridge API",
    docs="https://docs.bridgeapi.io/docs/secure-your-webhooks",
    signature_headers=("bridgeapi-signature",),
    split=",",
    version_key="v1",
    type=("json:type",),
    setup="In the dashboard: Webhooks, Add. The secret is shown once; after a rotation the old one "
    "signs along for a day.",
)
