"""Tally."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="tally",
    label="Tally",
    docs="https://tally.so/help/webhooks",
    signature_headers=("tally-signature",),
    encoding="base64",
    id=("json:eventId",),
    type=("json:eventType",),
    setup="In the form's Integrations tab: Webhooks, Connect, with the secret of this source as "
    "signing secret. Without one Tally does not sign, and is refused here.",
)
