"""Ashby. Its ping when a webhook is saved is signed like any other call."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="ashby",
    label="Ashby",
    docs="https://developers.ashbyhq.com/docs/authenticating-webhooks",
    signature_headers=("ashby-signature",),
    prefix="sha256=",
    id=("json:webhookActionId",),
    type=("json:action",),
    setup="In the administration: Integrations, Webhooks, New, with the secret of this source as "
    "secret token. A ping answered with an error disables the webhook.",
)
