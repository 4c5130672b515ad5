"""Synctera: while a secret is rotated two signatures come, with a dot between."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="synctera",
    label="Synctera",
    docs="https://docs.synctera.com/docs/webhooks-guide",
    signature_headers=("synctera-signature",),
    split=".",
    message="{timestamp}.{body}",
    timestamp="header:request-timestamp",
    id=("json:id",),
    type=("json:type",),
    setup="Create the webhook through the API. The secret is the one that /v0/webhook_secrets "
    "makes, which is not the API key.",
)
