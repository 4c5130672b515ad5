"""Replicate. The name of the event is not in the payload: it is the prediction's status."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="replicate",
    label="Replicate",
    docs="https://replicate.com/docs/topics/webhooks/verify-webhook",
    type=("json:status",),
    setup="Give this URL as `webhook` when a prediction is created. One secret (whsec_…) signs for "
    "the whole account; the API shows it under webhooks/default/secret.",
)
