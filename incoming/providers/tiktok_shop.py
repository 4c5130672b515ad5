"""TikTok Shop: the app's key stands before the body in what is signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.encoding import as_bytes
from incoming.providers.placing import place
from incoming.providers.proof import hmac_signer, hmac_text, read_signature


@dataclass(frozen=True, kw_only=True)
class TiktokShop(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        app = (options or {}).get("app")
        if not app:
            return Refused(Cause.SOURCE_MISCONFIGURED, "the option app is not set")
        given = read_signature(call.headers.get("authorization"), "hex")
        if isinstance(given, Refused):
            return given
        signer = hmac_signer(secrets, given, as_bytes(app) + call.body)
        return signer if isinstance(signer, Refused) else Verified(secret_id=signer.id)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        message = as_bytes((options or {}).get("app", "")) + call.body
        return place(call, "header:authorization", hmac_text(secret, message, "hex"))


provider = TiktokShop(
    name="tiktok-shop",
    label="TikTok Shop",
    docs="https://partner.tiktokshop.com/docv2/page/configuration-guide",
    signing="`Authorization`: HMAC-SHA256 in hex over the app's key and the body",
    id=("json:tts_notification_id",),
    type=("json:type",),
    acknowledgement=Answer(),
    option_texts={"app": "the app's key (App Key), which is not secret"},
    required_options=frozenset({"app"}),
    setup="In the Partner Center: App & Service, the app's Basic Information, Developing, Webhook "
    "URL. The secret is the App Secret on the same page; the App Key beside it is the option "
    "`app`. TikTok waits three seconds.",
)
