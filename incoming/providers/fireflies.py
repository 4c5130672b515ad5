"""Fireflies, webhooks V2."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="fireflies",
    label="Fireflies",
    docs="https://docs.fireflies.ai/graphql-api/webhooks-v2",
    signature_headers=("x-hub-signature",),
    prefix="sha256=",
    id=("{json:event}:{json:meeting_id}",),
    type=("json:event",),
    setup="In the settings: Developer Settings, Webhooks V2. Set the secret of this source; "
    "without one the calls are not signed.",
)
