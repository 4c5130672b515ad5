"""Square: the notification URL, exactly as it was registered, is part of what is signed."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="square",
    label="Square",
    docs="https://developer.squareup.com/docs/webhooks/step3validate",
    signature_headers=("x-square-hmacsha256-signature",),
    encoding="base64",
    message="{url}{body}",
    id=("json:event_id",),
    type=("json:type",),
    setup="In the developer dashboard: Webhooks, Subscriptions, Add. Register exactly the URL that "
    "this source shows. The secret is the subscription's signature key.",
)
