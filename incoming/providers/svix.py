"""Svix, for any sender that delivers through it and is not listed by its own name."""

from incoming.providers.standard_webhooks import StandardWebhooks

provider = StandardWebhooks(
    name="svix",
    label="Svix",
    docs="https://docs.svix.com/receiving/verifying-payloads/how-manual",
    setup="In the sender's portal: add this URL as an endpoint. The secret is the endpoint's "
    "signing secret, whsec_ and base64; where the sender signs with Ed25519, its whpk_ key.",
)
