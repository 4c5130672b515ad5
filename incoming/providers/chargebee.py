"""Chargebee."""

from incoming.providers.shared_token import BasicAuth

provider = BasicAuth(
    name="chargebee",
    label="Chargebee",
    docs="https://www.chargebee.com/docs/2.0/webhook_settings.html",
    id=("json:id",),
    type=("json:event_type",),
    setup="In the settings: Configure Chargebee, Webhooks, Add, Protect webhook URL with basic "
    "authentication, with a user and password of your own. The secret is user:password.",
)
