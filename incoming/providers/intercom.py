"""Intercom: HMAC with SHA-1, keyed with the app's client secret."""

from incoming.providers.handshake import ok_to
from incoming.providers.recipe import Recipe

provider = Recipe(
    name="intercom",
    label="Intercom",
    docs="https://developers.intercom.com/docs/references/webhooks/notification-object",
    signature_headers=("x-hub-signature",),
    prefix="sha1=",
    hash="sha1",
    id=("json:id",),
    type=("json:topic",),
    methods=frozenset({"POST", "HEAD"}),
    on_handshake=ok_to("HEAD"),
    handshake_text="HEAD: 200",
    setup="In the Developer Hub: the app's Webhooks page, this URL and the topics. The secret is "
    "the app's client secret, under Configure, Basic information.",
)
