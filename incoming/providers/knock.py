"""Knock: Stripe's form, but milliseconds and base64."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="knock",
    label="Knock",
    docs="https://docs.knock.app/developer-tools/outbound-webhooks/overview",
    signature_headers=("x-knock-signature",),
    split=",",
    version_key="s",
    encoding="base64",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    timestamp_unit="ms",
    id=("json:id",),
    type=("json:type",),
    setup="In the dashboard: Developers, Webhooks, Create, this URL. The secret is the webhook's "
    "signing key, on its page (it is not the API key).",
)
