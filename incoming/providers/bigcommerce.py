"""BigCommerce. The key is the text of the app's client secret, which its docs have encoded in
base64 only because their library decodes it again."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="bigcommerce",
    label="BigCommerce",
    docs="https://docs.bigcommerce.com/developer/docs/integrations/webhooks/https",
    key="whsec-or-text",
    type=("json:scope",),
    setup="Create the hook through the API, with this URL as destination (port 443 only). The "
    "secret is the app's client secret as it is shown in the Developer Portal, behind View Client "
    "ID (for an API account: when it is created). The payload holds an id only: fetch the rest.",
)
