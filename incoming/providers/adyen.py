"""Adyen, standard webhooks (a signature in each item) and platform webhooks (one in a header).

The key is hex. The values of an item are joined as they are: Adyen escapes nothing, whatever its
older documentation says. Source: adyen-python-api-library, `util.py`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from incoming.providers.call import Answer, Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, encode_bytes, key_bytes
from incoming.providers.locator import dig
from incoming.providers.placing import put
from incoming.providers.proof import read_signature
from incoming.providers.recipe import Recipe

MAX_ITEMS: Final = 100  # Adyen sends six at most
_SIGNED_VALUES: Final = (
    "pspReference",
    "originalReference",
    "merchantAccountCode",
    "merchantReference",
    "amount.value",
    "amount.currency",
    "eventCode",
    "success",
)
_ITEM: Final = "json:notificationItems.*.NotificationRequestItem"
_PLATFORM: Final = Recipe(signature_headers=("hmacsignature",), encoding="base64", key="hex")


@dataclass(frozen=True, kw_only=True)
class Adyen(Declaration):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        if _PLATFORM.applies(call):
            return _PLATFORM.verify(call, secrets)
        items = _items(call)
        if not items:
            return Refused(Cause.SIGNATURE_MISSING)
        signed = []
        for item in items:
            text = dig(item, "additionalData.hmacSignature")
            given = read_signature(text if isinstance(text, str) else None, "base64")
            if isinstance(given, Refused):
                return given
            signed.append((_signed_text(item), given))
        if not usable(secrets):
            return Refused(Cause.SECRET_MISSING)
        for secret in usable(secrets):
            key = key_bytes(secret.value, "hex")
            # All or nothing: the items are stored and acknowledged together.
            if key and all(_fits(key, message, given) for message, given in signed):
                return Verified(secret_id=secret.id)
        return Refused(Cause.SIGNATURE_MISMATCH)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        key = key_bytes(secret.value, "hex")
        signed = replace(call)  # with a JSON of its own, which is changed here
        items = _items(signed)
        if key is None or not all(isinstance(item, dict) for item in items):
            return call
        if not items:
            return _PLATFORM.sign(call, secret) or call
        for item in items:
            text = encode_bytes(hmac.digest(key, _signed_text(item), "sha256"), "base64")
            item.update(put(item, ("additionalData", "hmacSignature"), text))
        return replace(call, body=orjson.dumps(signed.json))


def _items(call: Call) -> list[Any]:
    entries = call.json.get("notificationItems") if isinstance(call.json, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_ITEMS:
        return []
    return [dig(entry, "NotificationRequestItem") for entry in entries]


def _signed_text(item: Any) -> bytes:
    return as_bytes(":".join(_text(dig(item, path)) for path in _SIGNED_VALUES))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _fits(key: bytes, message: bytes, given: bytes) -> bool:
    return hmac.compare_digest(hmac.digest(key, message, "sha256"), given)


provider = Adyen(
    name="adyen",
    label="Adyen",
    docs="https://docs.adyen.com/development-resources/webhooks/verify-hmac-signatures/",
    signing="`additionalData.hmacSignature` of each item: HMAC-SHA256 in base64 over "
    + ":".join(_SIGNED_VALUES)
    + ", all of which must fit; or the header `hmacsignature`, over the body",
    id=(f"{{{_ITEM}.pspReference}}:{{{_ITEM}.eventCode}}:{{{_ITEM}.success}}",),
    type=(f"{_ITEM}.eventCode", "json:type"),
    sample_body=orjson.dumps(
        {
            "live": "false",
            "notificationItems": [
                {
                    "NotificationRequestItem": {
                        "amount": {"value": 1000, "currency": "EUR"},
                        "eventDate": "2026-01-01T00:00:00+00:00",
                        "merchantAccountCode": "SampleMerchant",
                        "merchantReference": "sample-1",
                        "success": "true",
                    }
                }
            ],
        }
    ),
    acknowledgement=Answer(body=b"[accepted]"),
    setup="In the Customer Area: Developers, Webhooks, Create, with this URL; under Security "
    "generate the HMAC key, which is the secret, in hex.",
)
