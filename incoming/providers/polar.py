"""Polar. Its secrets are plain text, where the specification has base64."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="polar",
    label="Polar",
    docs="https://polar.sh/docs/integrate/webhooks/delivery",
    key="text",
    setup="In the organisation's settings: Webhooks, Add Endpoint, format Raw. The secret is used "
    "as it is shown, without decoding it. Ten failures in a row disable the endpoint.",
)
