"""Cursor, webhooks of cloud agents."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="cursor",
    label="Cursor",
    docs="https://docs.cursor.com/account/cloud-agent-webhooks",
    signature_headers=("x-webhook-signature",),
    prefix="sha256=",
    id=("header:x-webhook-id",),
    type=("json:event", "header:x-webhook-event"),
    setup="Give this URL and the secret of this source when the agent is created.",
)
