"""Trello: SHA-1 over the body and then the callback URL exactly as it was registered."""

from incoming.providers.handshake import ok_to
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="trello",
    label="Trello",
    docs="https://developer.atlassian.com/cloud/trello/guides/rest-api/webhooks/",
    signature_headers=("x-trello-webhook",),
    hash="sha1",
    encoding="base64",
    message="{body}{url}",
    id=("json:action.id",),
    type=("json:action.type",),
    methods=frozenset({"POST", "HEAD"}),
    on_handshake=ok_to("HEAD"),
    handshake_text="HEAD: 200",
    setup="Create the webhook through the API with exactly the URL that this source shows as "
    "callbackURL. The secret is the application's OAuth 1.0 secret, on the API Key tab of the "
    "Power-Up's administration page.",
)
