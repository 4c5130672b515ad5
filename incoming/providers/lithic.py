"""Lithic, which sends both header prefixes."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="lithic",
    label="Lithic",
    docs="https://docs.lithic.com/docs/events-api",
    type=("json:event_type", "json:type"),
    setup="Create an event subscription with this URL. Its secret (whsec_…) is in the dashboard "
    "and in the API's answer to the subscription's secret.",
)
