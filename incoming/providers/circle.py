"""Circle. It asks with HEAD whether the URL answers, and signs with a key that it names."""

from incoming.providers.handshake import ok_to
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="circle",
    label="Circle",
    docs="https://developers.circle.com/cpn/guides/webhooks/verify-webhook-signatures",
    signature_headers=("x-circle-signature",),
    algorithm="ecdsa",
    encoding="base64",
    id=("json:notificationId",),
    type=("json:notificationType",),
    methods=frozenset({"POST", "HEAD"}),
    on_handshake=ok_to("HEAD"),
    handshake_text="HEAD: 200",
    setup="Create the subscription through the API. The secret is the public key, in base64, that "
    "GET /v2/cpn/notifications/publicKey/{id} gives for the X-Circle-Key-Id of the calls; while it "
    "changes give both.",
)
