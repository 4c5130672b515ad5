"""Supabase Auth hooks, whose secrets are shown with `v1,` in front."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="supabase",
    label="Supabase Auth",
    docs="https://supabase.com/docs/guides/auth/auth-hooks",
    type=("json:user.email_action_type", "json:type"),
    setup="In the dashboard: Authentication, Hooks, HTTPS. Generate the secret there and give it "
    "whole (v1,whsec_…). Supabase waits five seconds.",
)
