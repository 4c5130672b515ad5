"""Airtable: a ping without data. The key is base64, the signature hex."""

from incoming.providers.call import Answer
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="airtable",
    label="Airtable",
    docs="https://airtable.com/developers/web/api/webhooks-overview",
    signature_headers=("x-airtable-content-mac",),
    prefix="hmac-sha256=",
    key="base64",
    acknowledgement=Answer(),
    setup="Create the webhook through the API; the secret is the macSecretBase64 in the answer, "
    "shown only then. The call says that something changed: list the payloads. Webhooks end after "
    "seven days unless refreshed.",
)
