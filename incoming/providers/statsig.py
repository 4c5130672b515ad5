"""Statsig: Slack's scheme with milliseconds."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="statsig",
    label="Statsig",
    docs="https://docs.statsig.com/integrations/event_webhook",
    signature_headers=("x-statsig-signature",),
    prefix="v0=",
    message="v0:{timestamp}:{body}",
    timestamp="header:x-statsig-request-timestamp",
    timestamp_unit="ms",
    type=("json:data.*.eventName", "json:*.eventName"),
    setup="In the project's settings: Integrations, Generic Webhook, this URL. The secret is the "
    "signing secret on that integration's card.",
)
