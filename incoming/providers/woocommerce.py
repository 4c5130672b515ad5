"""WooCommerce. Its first call is an unsigned form that only holds the webhook's number."""

import re
from collections.abc import Mapping, Sequence

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.recipe import Recipe

_PING = re.compile(rb"webhook_id=\d{1,20}", re.ASCII)


def _ping(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    signed = "x-wc-webhook-signature" in call.headers
    return Answer() if not signed and _PING.fullmatch(call.body) else None


provider = Recipe(
    name="woocommerce",
    label="WooCommerce",
    docs="https://developer.woocommerce.com/docs/webhooks/",
    signature_headers=("x-wc-webhook-signature",),
    encoding="base64",
    id=("header:x-wc-webhook-delivery-id",),
    type=("header:x-wc-webhook-topic",),
    on_handshake=_ping,
    handshake_text="an unsigned form `webhook_id=…` when the webhook is saved: 200",
    unsigned_handshake=True,
    setup="In the shop's administration: WooCommerce, Settings, Advanced, Webhooks, Add. Enter "
    "this URL as delivery URL and the secret of this source.",
)
