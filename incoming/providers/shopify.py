"""Shopify. The newer events preview drops the X- from its header names."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="shopify",
    label="Shopify",
    docs="https://shopify.dev/docs/apps/build/webhooks/subscribe/https",
    signature_headers=("x-shopify-hmac-sha256", "shopify-hmac-sha256"),
    encoding="base64",
    # One event may be told under several topics, with one id.
    id=(
        "{header:x-shopify-topic}:{header:x-shopify-event-id}",
        "header:x-shopify-event-id",
        "header:x-shopify-webhook-id",
        "header:shopify-webhook-id",
    ),
    type=("header:x-shopify-topic", "header:shopify-topic"),
    setup="In the Dev Dashboard (or the app's configuration file): subscribe the topics to this "
    "URL. The secret is the app's client secret, under the app's Settings, Credentials; for "
    "webhooks made in a shop's own admin (Settings, Notifications, Webhooks) it is the key shown "
    "below their list. Shopify waits five seconds for an answer, tries eight times in four hours "
    "and then removes the subscription.",
)
