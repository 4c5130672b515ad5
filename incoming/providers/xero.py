"""Xero. To switch a webhook on it sends right and wrong signatures and wants 200 and 401."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="xero",
    label="Xero",
    docs="https://developer.xero.com/documentation/guides/webhooks/configuring-your-server/",
    signature_headers=("x-xero-signature",),
    encoding="base64",
    type=("{json:events.*.eventCategory}.{json:events.*.eventType}",),
    handshake_text="Intent to receive: calls with wrong signatures must be answered 401, right "
    "ones 200, each within five seconds",
    setup="In the developer portal: the app's Webhooks page, this URL as delivery URL. The secret "
    "is the webhooks key shown on that page, used as the text it is. Save, then send the Intent to "
    "receive.",
)
