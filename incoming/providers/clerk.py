"""Clerk, which delivers through Svix."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="clerk",
    label="Clerk",
    docs="https://clerk.com/docs/webhooks/sync-data",
    setup="In the dashboard: Configure, Webhooks, Add Endpoint, this URL. The secret is the "
    "endpoint's signing secret (whsec_…), on its page.",
)
