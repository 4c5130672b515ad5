"""Smile API: HMAC-SHA512 of the body."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="smile",
    label="Smile API",
    docs="https://docs.getsmileapi.com/reference/webhooks",
    signature_headers=("smile-signature",),
    hash="sha512",
    id=("json:id",),
    type=("json:type",),
    setup="In the portal: Webhooks, Create, with this URL and the secret of this source (64 "
    "characters at most).",
)
