"""Token.io: Ed25519 in base64url."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="tokenio",
    label="Token.io",
    docs="https://docs.token.io/products/tpp/integration-considerations/webhooks",
    signature_headers=("token-signature",),
    algorithm="ed25519",
    encoding="base64url",
    type=("header:token-event",),
    setup="Set this URL with PUT /webhook/config. The secret is the member's public key, in "
    "base64url, from the dashboard: Settings, Member Information.",
)
