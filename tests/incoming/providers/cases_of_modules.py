"""Signers of the third parties that have code of their own and share a secret with us."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from incoming.providers import Call, Cause

from .cases import NOW, URL, Case, based, call, iso, mac, milliseconds, seconds, url_based
from .cases_of_recipes import WHSEC_SECRETS, standard

FORM = b"Digits=1234&From=%2B14158675309&Digits=5678&Digits=1234&Name=Zo%C3%AB"
FORM_TYPE = {"content-type": "application/x-www-form-urlencoded"}


def _twilio() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        text = URL + ("Digits1234Digits5678From+14158675309NameZoë" if body else "")
        signature = based(mac(secret.encode(), text.encode(), "sha1"))
        return call({**FORM_TYPE, "x-twilio-signature": signature}, body, at=at)

    return Case(sign=sign, header="x-twilio-signature", body=FORM)


def _mandrill() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        text = URL + ("Digits1234Digits1234Digits5678From+14158675309NameZoë" if body else "")
        signature = based(mac(secret.encode(), text.encode(), "sha1"))
        return call({**FORM_TYPE, "x-mandrill-signature": signature}, body, at=at)

    return Case(sign=sign, header="x-mandrill-signature", body=FORM)


def _json_forger(change: Callable[[Any, str], None]) -> Callable[[Call, str], Call]:
    def forge(signed: Call, text: str) -> Call:
        payload = json.loads(signed.body)
        change(payload, text.encode("utf-8", "replace").decode())
        return replace(signed, body=json.dumps(payload).encode())

    return forge


def mailgun_body(secret: str, at: float, *, token: str = "token-1") -> bytes:
    stamp = seconds(at)
    signature = mac(secret.encode(), (stamp + token).encode()).hex()
    fields = {"timestamp": stamp, "token": token, "signature": signature}
    return json.dumps({"signature": fields, "event-data": {"event": "opened"}}).encode()


def _mailgun() -> Case:
    def change(payload: Any, text: str) -> None:
        payload["signature"]["signature"] = text

    return Case(
        sign=lambda secret, body, at: call({}, mailgun_body(secret, at) if body else b"", at=at),
        past=300,
        future=300,
        stamped=True,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b'{"event-data":{}}'),
        forge=_json_forger(change),
    )


def _hubspot() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        url, stamp = f"{URL}?to=a%40b.example", milliseconds(at)
        decoded = f"{URL}?to=a@b.example"
        message = b"POST" + decoded.encode() + body + stamp.encode()
        headers = {
            "x-hubspot-request-timestamp": stamp,
            "x-hubspot-signature-v3": based(mac(secret.encode(), message)),
        }
        return call(headers, body, url=url, at=at)

    return Case(sign=sign, header="x-hubspot-signature-v3", past=300, future=300, stamped=True)


ADYEN_KEYS = ("aa" * 32, "bb" * 32, "cc" * 32)


def adyen_item(secret: str, **changes: Any) -> dict[str, Any]:
    item: dict[str, Any] = {
        "pspReference": "psp:1\\",
        "originalReference": "",
        "merchantAccountCode": "Merchant/1",
        "merchantReference": "order:1",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
    } | changes
    text = f"{item['pspReference']}::Merchant/1:order:1:1130:EUR:AUTHORISATION:true"
    signature = based(mac(bytes.fromhex(secret), text.encode()))
    return {"NotificationRequestItem": item | {"additionalData": {"hmacSignature": signature}}}


def adyen_body(*items: dict[str, Any]) -> bytes:
    return json.dumps({"live": "false", "notificationItems": items}).encode()


def _adyen() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        return call({}, adyen_body(adyen_item(secret)) if body else b"", at=at)

    def change(payload: Any, text: str) -> None:
        item = payload["notificationItems"][0]["NotificationRequestItem"]
        item["additionalData"]["hmacSignature"] = text

    return Case(
        sign=sign,
        secrets=ADYEN_KEYS,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b'{"notificationItems":[{}]}'),
        forge=_json_forger(change),
    )


def hs_token(
    secret: str, claims: dict[str, Any], *, algorithm: str = "HS256", digest: str = "sha256"
) -> str:
    header = url_based(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
    signing_input = f"{header}.{url_based(json.dumps(claims).encode())}"
    return f"{signing_input}.{url_based(mac(secret.encode(), signing_input.encode(), digest))}"


def messagebird_claims(body: bytes, at: float = NOW, url: str = URL) -> dict[str, Any]:
    claims = {
        "iss": "MessageBird",
        "nbf": int(at),
        "exp": int(at) + 60,
        "jti": "jti-1",
        "url_hash": hashlib.sha256(url.encode()).hexdigest(),
    }
    return claims | ({"payload_hash": hashlib.sha256(body).hexdigest()} if body else {})


def _messagebird() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        text = hs_token(secret, messagebird_claims(body, at))
        return call({"messagebird-signature-jwt": text}, body, at=at)

    # Alive from `nbf` to `exp`, a minute later, with a second's leeway at either end.
    return Case(sign=sign, header="messagebird-signature-jwt", past=60, future=1, stamped=True)


def _monday() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        claims = {"accountId": 1, "aud": URL, "iat": int(at), "exp": int(at) + 300}
        return call({"authorization": hs_token(secret, claims)}, body, at=at)

    return Case(sign=sign, header="authorization", past=329, stamped=True, covers_body=False)


BRAINTREE_KEYS = ("public1|private1", "public2|private2", "public1|stranger")


def braintree_signature(secret: str, payload: str) -> str:
    name, _, private = secret.partition("|")
    return f"{name}|{mac(hashlib.sha1(private.encode()).digest(), payload.encode(), 'sha1').hex()}"


def braintree_body(secret: str) -> bytes:
    xml = b"<notification><kind>subscription_canceled</kind></notification>"
    payload = base64.b64encode(xml).decode() + "\n"
    return urlencode(
        {"bt_signature": braintree_signature(secret, payload), "bt_payload": payload}
    ).encode()


def _braintree() -> Case:
    def forge(signed: Call, text: str) -> Call:
        body = urlencode({"bt_signature": text.encode("utf-8", "replace"), "bt_payload": "eA=="})
        return replace(signed, body=body.encode())

    return Case(
        sign=lambda secret, body, at: call(
            FORM_TYPE, braintree_body(secret) if body else b"", at=at
        ),
        secrets=BRAINTREE_KEYS,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b"bt_payload=eA=="),
        forge=forge,
    )


def _hook0() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        listed = "content-type x-event-type"
        text = f"{seconds(at)}.{listed}.application/json.thing.made."
        signature = mac(secret.encode(), text.encode() + body).hex()
        headers = {
            "content-type": "application/json",
            "x-event-type": "thing.made",
            "x-hook0-signature": f"t={seconds(at)},h={listed},v1={signature}",
        }
        return call(headers, body, at=at)

    return Case(sign=sign, header="x-hook0-signature", past=300, future=300, stamped=True)


def _contentful() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        names = "content-type,x-contentful-signed-headers,x-contentful-timestamp,x-contentful-topic"
        stamp = milliseconds(at)
        headers = f"content-type:application/json;x-contentful-signed-headers:{names};"
        headers += f"x-contentful-timestamp:{stamp};x-contentful-topic:Entry.publish"
        text = f"POST\n/in/src_1?a%253D1%2526b%253D2\n{headers}\n"
        signature = mac(secret.encode(), text.encode() + body).hex()
        sent = {
            "content-type": "application/json",
            "x-contentful-topic": " Entry.publish ",
            "x-contentful-timestamp": stamp,
            "x-contentful-signed-headers": names,
            "x-contentful-signature": signature,
        }
        return call(sent, body, url=f"{URL}?a=1&b=2", at=at)

    return Case(sign=sign, header="x-contentful-signature", past=30, future=300, stamped=True)


def _box() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        headers = {
            "box-signature-version": "1",
            "box-signature-algorithm": "HmacSHA256",
            "box-delivery-timestamp": iso(at),
            "box-signature-secondary": based(mac(secret.encode(), body + iso(at).encode())),
        }
        return call(headers, body, at=at)

    return Case(sign=sign, header="box-signature-secondary", past=600, future=0, stamped=True)


PAYMOB_BODY = json.dumps(
    {
        "type": "TRANSACTION",
        "obj": {
            "amount_cents": 100,
            "created_at": "2025-06-15T15:06:40",
            "currency": "EGP",
            "error_occured": False,
            "has_parent_transaction": False,
            "id": 7,
            "integration_id": 8,
            "is_3d_secure": True,
            "is_auth": False,
            "is_capture": False,
            "is_refunded": False,
            "is_standalone_payment": True,
            "is_voided": False,
            "order": {"id": 9},
            "owner": 10,
            "pending": False,
            "source_data": {"pan": "2346", "sub_type": "MasterCard", "type": "card"},
            "success": True,
        },
    }
).encode()
_PAYMOB_TEXT = (
    "1002025-06-15T15:06:40EGPfalsefalse78truefalsefalsefalsetruefalse910false"
    "2346MasterCardcardtrue"
)


def _paymob() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        text = _PAYMOB_TEXT if body else ""
        url = f"{URL}?hmac={mac(secret.encode(), text.encode(), 'sha512').hex()}"
        return call({}, body, url=url, at=at)

    return Case(
        sign=sign,
        body=PAYMOB_BODY,
        empty=Cause.SIGNATURE_MISMATCH,
        strip=lambda signed: replace(signed, url=URL),
        forge=lambda signed, text: replace(signed, url=f"{URL}?hmac={text}"),
    )


def _treezor() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        if not body:
            return call({}, b"", at=at)
        written = b'{"users":[{"name":"Zo\\u00eb","path":"a\\/b"}]}'
        signature = based(mac(secret.encode(), written))
        payload = {"users": [{"name": "Zoë", "path": "a/b"}]}
        fields = {"object_payload": payload, "object_payload_signature": signature}
        return call({}, json.dumps(fields, ensure_ascii=False).encode(), at=at)

    def change(payload: Any, text: str) -> None:
        payload["object_payload_signature"] = text

    return Case(
        sign=sign,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b'{"object_payload":{}}'),
        forge=_json_forger(change),
    )


def _exact_online() -> Case:
    content = b'{"Topic":"Accounts","Action":"Update"}'

    def sign(secret: str, body: bytes, at: float) -> Call:
        if not body:
            return call({}, b"", at=at)
        digits = mac(secret.encode(), content).hex().upper().encode()
        return call({}, b'{"Content":%s,"HashCode":"%s"}' % (content, digits), at=at)

    def forge(signed: Call, text: str) -> Call:
        forged = text.encode("utf-8", "replace")
        return replace(signed, body=b'{"Content":%s,"HashCode":"%s"}' % (content, forged))

    return Case(
        sign=sign,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b'{"Content":{}}'),
        forge=forge,
    )


def praxis_body(at: float, **changes: Any) -> bytes:
    """A payment's notification; `transaction` and the like may be given anew."""
    payload = {
        "merchant_id": "API-Tester",
        "application_key": "app-1",
        "timestamp": int(at),
        "customer": {"customer_token": "abc"},
        "session": {"order_id": "order-1", "variable1": "not signed"},
        "transaction": {
            "transaction_status": "approved",
            "tid": 7,
            "currency": "USD",
            "amount": "100.00",
            "conversion_rate": "1.2",
            "processed_currency": "EUR",
            "processed_amount": "120.00",
        },
    }
    return json.dumps(payload | changes).encode()


def praxis_call(secret: str, body: bytes, text: str, at: float) -> Call:
    signature = hashlib.sha384(f"{text}{secret}".encode()).hexdigest()
    return call({"gt-authentication": signature}, body, at=at)


def _praxis() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        text = f"API-Testerapp-1{int(at)}abcorder-17USD100.001.2EUR120.00"
        return praxis_call(secret, praxis_body(at) if body else b"", text, at)

    # Without a body there is no time that could have been signed.
    return Case(
        sign=sign,
        header="gt-authentication",
        stamped=True,
        covers_body=False,
        empty=Cause.TIMESTAMP_MISSING,
    )


def _tiktok_shop() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        signature = mac(secret.encode(), b"app-key" + body).hex()
        return call({"authorization": signature}, body, at=at)

    return Case(sign=sign, header="authorization", options={"app": "app-key"})


CASES: dict[str, Case] = {
    "adyen": _adyen(),
    "box": _box(),
    "braintree": _braintree(),
    "contentful": _contentful(),
    "exact-online": _exact_online(),
    "gitlab": replace(standard(), secrets=WHSEC_SECRETS),
    "hook0": _hook0(),
    "hubspot": _hubspot(),
    "mailgun": _mailgun(),
    "mandrill": _mandrill(),
    "messagebird": _messagebird(),
    "monday": _monday(),
    "paymob": _paymob(),
    "praxis": _praxis(),
    "tiktok-shop": _tiktok_shop(),
    "treezor": _treezor(),
    "twilio": _twilio(),
}
