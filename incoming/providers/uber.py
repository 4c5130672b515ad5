"""Uber Eats; Uber Direct signs alike, with a key of the webhook's own."""

from incoming.providers.call import Answer
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="uber",
    label="Uber",
    docs="https://developer.uber.com/docs/eats/guides/webhooks",
    signature_headers=("x-uber-signature",),
    id=("json:event_id",),
    type=("json:event_type",),
    acknowledgement=Answer(),
    setup="In the developer dashboard: Webhooks, Primary webhook URL. The secret is the app's "
    "client secret, on its Setup page, or for Uber Direct the webhook's signing key, in the Direct "
    "dashboard.",
)
