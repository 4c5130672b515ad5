"""WeChat Pay, API v3. What is signed is the envelope; its resource is encrypted besides."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from incoming.providers.handshake import as_json
from incoming.providers.recipe import Recipe


def open_resource(resource: Mapping[str, Any], api_key: str) -> bytes | None:
    """What is in a `resource` (AES-256-GCM), by the merchant's API v3 key; None where it does not
    fit."""
    try:
        sealed = b64decode(resource["ciphertext"], validate=True)
        associated = str(resource.get("associated_data") or "").encode()
        return AESGCM(api_key.encode()).decrypt(resource["nonce"].encode(), sealed, associated)
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error, InvalidTag):
        return None


provider = Recipe(
    name="wechat-pay",
    label="WeChat Pay",
    docs="https://pay.weixin.qq.com/doc/global/v3/en/4012357149",
    signature_headers=("wechatpay-signature",),
    algorithm="rsa",
    encoding="base64",
    message="{timestamp}\n{header:wechatpay-nonce}\n{body}\n",
    timestamp="header:wechatpay-timestamp",
    id=("json:id",),
    type=("json:event_type",),
    acknowledgement=as_json({"code": "SUCCESS", "message": "OK"}),
    setup="Give this URL as notify_url of a request. The secret is WeChat Pay's platform public "
    "key or certificate, in PEM, from the merchant platform (Account Center, API Security); while "
    "it changes give both. The resource stays encrypted until a handler opens it with the API v3 "
    "key.",
)
