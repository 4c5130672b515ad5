"""Utila: RSA-PSS with SHA-512."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="utila",
    label="Utila",
    docs="https://docs.utila.io/reference/webhooks",
    signature_headers=("x-utila-signature",),
    algorithm="rsa-pss",
    hash="sha512",
    encoding="base64",
    id=("json:id",),
    type=("json:type",),
    setup="In the Console: Vault Settings, Webhooks. The secret is Utila's public key, in PEM, "
    "from the same page.",
)
