"""Pylon."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="pylon",
    label="Pylon",
    docs="https://getpylon.com/developers/guides/using-webhooks/",
    signature_headers=("pylon-webhook-signature",),
    prefix="hs256=",
    message="{timestamp}.{body}",
    timestamp="header:pylon-webhook-timestamp",
    type=("json:type", "json:event"),
    setup="In the settings: Webhooks, Create destination. The signing secret is shown once.",
)
