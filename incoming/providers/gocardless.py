"""GoCardless. A call is a batch that is sent again as a whole until all of it was taken."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="gocardless",
    label="GoCardless",
    docs="https://developer.gocardless.com/getting-started/staying-up-to-date-with-webhooks",
    signature_headers=("webhook-signature",),
    id=("json:meta.webhook_id", "json:events.*.id"),
    type=("{json:events.*.resource_type}.{json:events.*.action}",),
    setup="In the dashboard: Developers, Create, Webhook endpoint. The secret is the endpoint's: "
    "enter that of this source there, or copy the one that is generated.",
)
