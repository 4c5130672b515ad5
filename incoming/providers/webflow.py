"""Webflow. Only webhooks made by an app or through the API are signed."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="webflow",
    label="Webflow",
    docs="https://developers.webflow.com/data/docs/working-with-webhooks",
    signature_headers=("x-webflow-signature",),
    message="{timestamp}:{body}",
    timestamp="header:x-webflow-timestamp",
    timestamp_unit="ms",
    type=("json:triggerType",),
    setup="Create the webhook through the API: those made in the dashboard are not signed. The "
    "secret is the app's client secret (workspace settings, Apps & Integrations), or the secretKey "
    "in the answer for a webhook of a site token.",
)
