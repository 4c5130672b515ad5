"""Qonto, which waits no longer than a second."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="qonto",
    label="Qonto",
    docs="https://docs.qonto.com/api-reference/business-api/webhooks/overview",
    signature_headers=("x-qonto-signature",),
    split=",",
    version_key="v1",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    id=("json:id",),
    type=("json:event_type", "json:type"),
    setup="Create the webhook subscription through the API, with the secret of this source as its "
    "secret. Qonto waits one second for the answer.",
)
