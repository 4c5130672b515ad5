"""Microsoft Graph: no signature, but a word of ours, `clientState`, in each notification.

Before a subscription exists Graph asks with a token in the URL, in a POST. Notifications with
resource data hold tokens of Microsoft's, for our app, and the data encrypted with a key of ours.
Source: Microsoft's documentation, "Set up change notifications that include resource data".
SharePoint does as Graph does without them, in its own file.
"""

from __future__ import annotations

import binascii
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, padding, serialization
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.handshake import challenge, plain
from incoming.providers.jws import check_period, parse_token, published_keys, read_claims
from incoming.providers.shared_token import SharedToken

KEYS_URL: Final = "https://login.microsoftonline.com/common/discovery/v2.0/keys"
KEYS_HOST: Final = r"login\.microsoftonline\.com"
PUBLISHER: Final = "0bf30f3b-4a52-48df-9a82-234910c4a086"  # the app id of Graph's notifications
MAX_TOKENS: Final = 32  # one for each tenant of a batch
_LEEWAY_SECONDS: Final = 300
_IV_BYTES: Final = 16


@dataclass(frozen=True, kw_only=True)
class MicrosoftGraph(SharedToken):
    """With the option `app_id` the tokens are checked too, and resource data is not taken without
    them."""

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        verdict = super().verify(call, secrets)
        app_id = (options or {}).get("app_id")
        if isinstance(verdict, Refused) or not app_id:
            return verdict
        return _check_tokens(call, app_id) or verdict


def _check_tokens(call: Call, app_id: str) -> Refused | None:
    items = [item for item in call.json["value"] if isinstance(item, dict)]
    rich = [item for item in items if item.get("encryptedContent") is not None]
    tenants = {str(item.get("tenantId")) for item in rich}
    texts = call.json.get("validationTokens") or []
    if not tenants and not texts:
        return None
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_TOKENS:
        return Refused(Cause.SIGNATURE_MISSING, "resource data without validation tokens")
    proved: set[str] = set()
    for text in texts:
        tenant = _tenant(text, app_id, call.received_at)
        if isinstance(tenant, Refused):
            return tenant
        proved.add(tenant)
    if tenants <= proved:
        return None
    return Refused(Cause.SIGNATURE_MISMATCH, "no validation token of the data's tenant")


def _tenant(text: Any, app_id: str, now: float) -> str | Refused:
    """The tenant that a token of Graph's for our app speaks of."""
    if not isinstance(text, str):
        return Refused(Cause.SIGNATURE_MALFORMED)
    token = parse_token(text, algorithms=("RS256",))
    if isinstance(token, Refused):
        return token
    keys = published_keys(KEYS_URL, host=KEYS_HOST, key_id=token.key_id)
    if not keys:
        return Refused(Cause.KEY_UNAVAILABLE)
    signed = read_claims(token, keys)
    if isinstance(signed, Refused):
        return signed
    claims = signed[1]
    tenant = claims.get("tid")
    issuers = (
        f"https://sts.windows.net/{tenant}/",
        f"https://login.microsoftonline.com/{tenant}/v2.0",
    )
    publisher = claims.get("azp") or claims.get("appid")
    if claims.get("aud") != app_id or claims.get("iss") not in issuers or publisher != PUBLISHER:
        return Refused(Cause.SIGNATURE_MISMATCH, "claims of a validation token")
    if "exp" not in claims:
        return Refused(Cause.TIMESTAMP_MISSING, "claim exp")
    return check_period(claims, now=now, leeway_seconds=_LEEWAY_SECONDS) or str(tenant)


def open_content(content: Mapping[str, Any], private_key: str) -> bytes | None:
    """The resource data in an `encryptedContent`, by the private key (PEM) of the certificate that
    the subscription was made with; None where the key or the data's own signature does not fit."""
    try:
        sealed, data, signature = (
            b64decode(content[name], validate=True) for name in ("dataKey", "data", "dataSignature")
        )
        pem = serialization.load_pem_private_key(private_key.encode(), None)
        if not isinstance(pem, rsa.RSAPrivateKey):
            return None
        sha1 = hashes.SHA1()  # noqa: S303 - Microsoft's choice, and no matter in OAEP
        key = pem.decrypt(sealed, rsa_padding.OAEP(rsa_padding.MGF1(sha1), sha1, None))
        if not hmac.compare_digest(hmac.digest(key, data, "sha256"), signature):
            return None
        decryptor = Cipher(algorithms.AES(key), modes.CBC(key[:_IV_BYTES])).decryptor()
        unpadder = padding.PKCS7(algorithms.AES.block_size).unpadder()
        padded = decryptor.update(data) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except (KeyError, TypeError, ValueError, binascii.Error, UnsupportedAlgorithm):
        return None


def validation_token(
    call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
) -> Answer | None:
    for name, value in call.query.items():
        if name.lower() == "validationtoken" and (echo := challenge(value)):
            return plain(echo)
    return None


provider = MicrosoftGraph(
    name="microsoft-graph",
    label="Microsoft Graph",
    docs="https://learn.microsoft.com/en-us/graph/change-notifications-delivery-webhooks",
    token_at=("json:value.*.clientState",),
    id=("json:value.*.id",),
    type=("{json:value.*.changeType}", "json:value.*.lifecycleEvent"),
    on_handshake=validation_token,
    handshake_text="a POST `?validationToken=`: the token back as text, decoded, within ten "
    "seconds",
    unsigned_handshake=True,
    option_texts={
        "app_id": "the application (client) ID in Entra, for notifications with resource data: "
        "their validation tokens, made for this app, are checked too"
    },
    setup="Create the subscription through the API with this URL as notificationUrl (and "
    "lifecycleNotificationUrl) and the secret of this source, a long random word of your own, as "
    "clientState. Subscriptions end after an hour to a month: renew them. Graph waits three "
    "seconds. Resource data stays encrypted until a handler opens it.",
)
