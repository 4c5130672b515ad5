"""Resend, which delivers through Svix."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="resend",
    label="Resend",
    docs="https://resend.com/docs/dashboard/webhooks/verify-webhooks-requests",
    setup="In the dashboard: Webhooks, Add Webhook. The secret is the signing secret on the "
    "webhook's page (whsec_…).",
)
