"""Airwallex: the time in milliseconds and the body, with nothing between."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="airwallex",
    label="Airwallex",
    docs="https://www.airwallex.com/docs/developer-tools/webhooks/listen-for-webhook-events",
    signature_headers=("x-signature",),
    message="{timestamp}{body}",
    timestamp="header:x-timestamp",
    timestamp_unit="ms",
    id=("json:id",),
    type=("json:name",),
    setup="In the web app: Settings, Developer, Webhooks, Add. The secret is shown on the "
    "webhook's page; each URL has one of its own.",
)
