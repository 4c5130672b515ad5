"""ShipBob. The topic is a header that is not signed."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="shipbob",
    label="ShipBob",
    docs="https://developer.shipbob.com/webhooks",
    type=("header:x-webhook-topic", "header:shipbob-topic"),
    setup="Subscribe this URL to topics through the webhook API. The answer holds the signing "
    "secret (whsec_…).",
)
