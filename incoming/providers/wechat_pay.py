"""WeChat Pay, API v3. What is signed is the envelope; its resource is encrypted besides."""

from incoming.providers.handshake import as_json
from incoming.providers.recipe import Recipe

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
    "key or certificate, in PEM; while it changes give both. The resource stays encrypted: decrypt "
    "it with the API v3 key when it is handled.",
)
