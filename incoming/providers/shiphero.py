"""ShipHero, which wants a JSON body back."""

from incoming.providers.handshake import as_json
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="shiphero",
    label="ShipHero",
    docs="https://developer.shiphero.com/webhooks/",
    signature_headers=("x-shiphero-hmac-sha256",),
    encoding="base64",
    id=("header:x-shiphero-message-id",),
    type=("json:webhook_type",),
    acknowledgement=as_json({"code": "200", "Status": "Success"}),
    setup="Create the webhook with the webhook_create mutation. The secret is the "
    "shared_signature_secret in its answer, shown only then.",
)
