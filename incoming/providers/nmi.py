"""NMI. The `t` of its header is a nonce, not a time."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="nmi",
    label="NMI",
    docs="https://docs.nmi.com/reference/overview",
    signature_headers=("webhook-signature",),
    split=",",
    version_key="s",
    message="{signature:t}.{body}",
    id=("json:event_id",),
    type=("json:event_type",),
    setup="In the Merchant Control Panel: Settings, Webhooks. The secret is the signing key shown "
    "there, which is not the security key.",
)
