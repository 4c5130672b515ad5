"""DocuSign Connect: one signature header for each of up to 100 keys, any of which may fit."""

from incoming.providers.recipe import Recipe

MAX_KEYS = 100  # of one Connect account, so header names end in -1 to -100

provider = Recipe(
    name="docusign",
    label="DocuSign Connect",
    docs="https://developers.docusign.com/platform/webhooks/connect/validate/",
    signature_headers=tuple(f"x-docusign-signature-{n}" for n in range(1, MAX_KEYS + 1)),
    every_header=True,
    encoding="base64",
    id=("{json:data.envelopeId}:{json:event}:{json:generatedDateTime}",),
    type=("json:event",),
    setup="In eSignature Admin: Connect, Connect Keys, Add Secret Key, and a configuration with "
    "this URL, JSON and Include HMAC Signature. The secret is that key.",
)
