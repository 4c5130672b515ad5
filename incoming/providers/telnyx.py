"""Telnyx: Ed25519, with a bar between timestamp and body."""

from incoming.providers.recipe import Recipe

provider = Recipe(
    name="telnyx",
    label="Telnyx",
    docs="https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks",
    signature_headers=("telnyx-signature-ed25519",),
    algorithm="ed25519",
    encoding="base64",
    message="{timestamp}|{body}",
    timestamp="header:telnyx-timestamp",
    id=("json:data.id",),
    type=("json:data.event_type",),
    setup="Give this URL to the messaging profile or the application. The secret is the account's "
    "public key, in Mission Control under Account Settings, Keys & Credentials, Public Key. Telnyx "
    "waits two seconds.",
)
