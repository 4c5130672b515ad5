"""Favro: what is signed is an id from the body and the URL, not the body."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="favro",
    label="Favro",
    docs="https://favro.com/developer/#webhook-signatures",
    signature_headers=("x-favro-webhook",),
    hash="sha1",
    encoding="base64",
    message="{json:payloadId}{url}",
    id=("json:payloadId",),
    type=("json:action",),
    setup="Create the webhook with exactly the URL that this source shows and with its secret. The "
    "body is not covered by the signature: fetch what matters.",
)
