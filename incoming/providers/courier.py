"""Courier: milliseconds, and the item of the signature is spelt out."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="courier",
    label="Courier",
    docs="https://www.courier.com/docs/platform/workspaces/outbound-webhooks",
    signature_headers=("courier-signature",),
    split=",",
    version_key="signature",
    message="{timestamp}.{body}",
    timestamp="signature:t",
    timestamp_unit="ms",
    type=("json:type",),
    setup="In the settings: Outbound Webhooks, New. The secret is the one generated on the "
    "webhook's page. Test and production have webhooks of their own.",
)
