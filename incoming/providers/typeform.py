"""Typeform: the prefix promises hex, but base64 follows."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="typeform",
    label="Typeform",
    docs="https://www.typeform.com/developers/webhooks/secure-your-webhooks/",
    signature_headers=("typeform-signature",),
    prefix="sha256=",
    encoding="base64",
    id=("json:event_id",),
    type=("json:event_type",),
    setup="In the form: Connect, Webhooks, Add a webhook, this URL; then Edit, and enter the "
    "secret of this source. An answer of 404 or 410 switches the webhook off at once.",
)
