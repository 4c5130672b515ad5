"""Signers of the third parties that sign with a private key; the secret is the public one."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from incoming.providers import Call, Cause

from .cases import BODY, Case, based, call, iso, milliseconds, seconds, url_based

_RAW = serialization.Encoding.Raw, serialization.PublicFormat.Raw
_DER = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
_PEM = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo

ED25519 = tuple(Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
P256 = tuple(ec.derive_private_key(n, ec.SECP256R1()) for n in (11, 12, 13))
RSA = tuple(rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(3))


def public(keys: tuple[Any, ...], form: tuple[Any, Any]) -> tuple[str, str, str]:
    """The public halves as text: hex of raw bytes, base64 of DER, or PEM."""
    texts = []
    for key in keys:
        value = key.public_key().public_bytes(*form)
        texts.append(
            value.hex() if form is _RAW else based(value) if form is _DER else value.decode()
        )
    return texts[0], texts[1], texts[2]


def base64_raw(keys: tuple[Any, ...]) -> tuple[str, str, str]:
    first, second, third = (based(bytes.fromhex(text)) for text in public(keys, _RAW))
    return first, second, third


def private_pem(key: Any) -> str:
    form = serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    return str(key.private_bytes(serialization.Encoding.PEM, form, plain).decode())


def ecdsa(key: Any, message: bytes, digest: Any = hashes.SHA256) -> bytes:
    return bytes(key.sign(message, ec.ECDSA(digest())))


def rsa_signature(key: Any, message: bytes, digest: Any = hashes.SHA256) -> bytes:
    return bytes(key.sign(message, padding.PKCS1v15(), digest()))


def rsa_pss(key: Any, message: bytes) -> bytes:
    pss = padding.PSS(padding.MGF1(hashes.SHA512()), padding.PSS.MAX_LENGTH)
    return bytes(key.sign(message, pss, hashes.SHA512()))


def token(header: dict[str, Any], payload: bytes, sign: Callable[[bytes], bytes]) -> str:
    signing_input = f"{url_based(json.dumps(header).encode())}.{url_based(payload)}"
    return f"{signing_input}.{url_based(sign(signing_input.encode()))}"


def es256(key: Any) -> Callable[[bytes], bytes]:
    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(ecdsa(key, message))
        return r.to_bytes(32) + s.to_bytes(32)

    return sign


def _case(
    header: str,
    keys: tuple[Any, ...],
    secrets: tuple[str, str, str],
    sign: Callable[[Any, bytes, float], Call],
    **rest: Any,
) -> Case:
    private = dict(zip(secrets, keys, strict=True))
    return Case(
        sign=lambda secret, body, at: sign(private[secret], body, at),
        header=header,
        secrets=secrets,
        **rest,
    )


def _sendgrid(key: Any, body: bytes, at: float) -> Call:
    stamp = seconds(at)
    headers = {
        "x-twilio-email-event-webhook-timestamp": stamp,
        "x-twilio-email-event-webhook-signature": based(ecdsa(key, stamp.encode() + body)),
    }
    return call(headers, body, at=at)


def _discord(key: Any, body: bytes, at: float) -> Call:
    signature = key.sign(seconds(at).encode() + body).hex()
    headers = {"x-signature-timestamp": seconds(at), "x-signature-ed25519": signature}
    return call(headers, body, at=at)


def _telnyx(key: Any, body: bytes, at: float) -> Call:
    signature = based(key.sign(seconds(at).encode() + b"|" + body))
    headers = {"telnyx-timestamp": seconds(at), "telnyx-signature-ed25519": signature}
    return call(headers, body, at=at)


def _wechat(key: Any, body: bytes, at: float) -> Call:
    signature = rsa_signature(key, f"{seconds(at)}\nnonce\n".encode() + body + b"\n")
    headers = {
        "wechatpay-timestamp": seconds(at),
        "wechatpay-nonce": "nonce",
        "wechatpay-signature": based(signature),
    }
    return call(headers, body, at=at)


def _ebay(key: Any, body: bytes, at: float) -> Call:
    fields = {"alg": "ecdsa", "kid": "k1", "signature": based(ecdsa(key, body, hashes.SHA1))}
    return call({"x-ebay-signature": based(json.dumps(fields).encode())}, body, at=at)


def _fireblocks(key: Any, body: bytes, at: float) -> Call:
    whole = token(
        {"alg": "RS512", "kid": "k1"}, body, lambda m: rsa_signature(key, m, hashes.SHA512)
    )
    header, _, signature = whole.split(".")
    return call({"fireblocks-webhook-signature": f"{header}..{signature}"}, body, at=at)


def _alipay(key: Any, body: bytes, at: float) -> Call:
    text = f"POST /in/src_1\nCLIENT-1.{iso(at)}.".encode() + body
    signature = quote(based(rsa_signature(key, text)), safe="")
    headers = {
        "client-id": "CLIENT-1",
        "request-time": iso(at),
        "signature": f"algorithm=RSA256, keyVersion=1, signature={signature}",
    }
    return call(headers, body, at=at)


def _neon(key: Any, body: bytes, at: float) -> Call:
    payload = f"{milliseconds(at)}.{url_based(body)}".encode()
    header, _, signature = token({"alg": "EdDSA", "kid": "k1"}, payload, key.sign).split(".")
    headers = {"x-neon-timestamp": milliseconds(at), "x-neon-signature": f"{header}..{signature}"}
    return call(headers, body, at=at)


def _plaid(key: Any, body: bytes, at: float) -> Call:
    claims = {"iat": int(at), "request_body_sha256": hashlib.sha256(body).hexdigest()}
    text = token({"alg": "ES256", "kid": "k1"}, json.dumps(claims).encode(), es256(key))
    return call({"plaid-verification": text}, body, at=at)


def wix_body(key: Any, at: float, *, lives: int = 3600) -> bytes:
    details = json.dumps({"id": "evt_1"})
    event = json.dumps({"eventType": "wix.ecom.v1.order_created", "data": details})
    claims = {"data": event, "iat": int(at), "exp": int(at) + lives}
    return token(
        {"alg": "RS256"}, json.dumps(claims).encode(), lambda m: rsa_signature(key, m)
    ).encode()


def _wix(key: Any, body: bytes, at: float) -> Call:
    return call({"content-type": "text/plain"}, wix_body(key, at) if body else b"", at=at)


CERT_URL = "https://api.paypal.com/v1/notifications/certs/CERT-1"


def _paypal(secret: str, body: bytes, at: float) -> Call:
    """The key is PayPal's; the webhook's id, which is the secret, is part of the signed line."""
    line = f"transmission-1|{iso(at)}|{secret}|{zlib.crc32(body)}"
    headers = {
        "paypal-transmission-id": "transmission-1",
        "paypal-transmission-time": iso(at),
        "paypal-cert-url": CERT_URL,
        "paypal-auth-algo": "SHA256withRSA",
        "paypal-transmission-sig": based(rsa_signature(RSA[0], line.encode())),
    }
    return call(headers, body, at=at)


TOPIC = "arn:aws:sns:eu-west-1:123456789012:things"
SNS_CERT_URL = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1.pem"


def sns_body(key: Any, at: float, *, version: str = "2", **fields: str) -> bytes:
    message = {
        "Type": "Notification",
        "MessageId": "message-1",
        "TopicArn": TOPIC,
        "Message": "thing made",
        "Timestamp": iso(at).replace("Z", ".000Z"),
        **fields,
    }
    signed = (
        "Message",
        "MessageId",
        "Subject",
        "SubscribeURL",
        "Timestamp",
        "Token",
        "TopicArn",
        "Type",
    )
    text = "".join(f"{name}\n{message[name]}\n" for name in signed if name in message)
    digest = {"1": hashes.SHA1, "2": hashes.SHA256}[version]
    message["SignatureVersion"] = version
    message["Signature"] = based(rsa_signature(key, text.encode(), digest))
    message.setdefault("SigningCertURL", SNS_CERT_URL)
    return json.dumps(message).encode()


def _sns(key: Any, body: bytes, at: float) -> Call:
    return call({"content-type": "text/plain"}, sns_body(key, at) if body else b"", at=at)


def _sns_forged(signed: Call, text: str) -> Call:
    message = json.loads(signed.body) | {"Signature": text.encode("utf-8", "replace").decode()}
    return replace(signed, body=json.dumps(message).encode())


CASES: dict[str, Case] = {
    "alipay": _case("signature", RSA, public(RSA, _PEM), _alipay, stamped=True),
    "aws-sns": _case(
        "",
        RSA,
        public(RSA, _PEM),
        _sns,
        past=3600,
        future=300,
        stamped=True,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        without_secret=Cause.KEY_UNAVAILABLE,
        options={"topic_arn": TOPIC},
        strip=lambda signed: replace(signed, body=BODY),
        forge=_sns_forged,
    ),
    "circle": _case(
        "x-circle-signature",
        P256,
        public(P256, _DER),
        lambda key, body, at: call({"x-circle-signature": based(ecdsa(key, body))}, body, at=at),
    ),
    "discord": _case("x-signature-ed25519", ED25519, public(ED25519, _RAW), _discord, stamped=True),
    "ebay": _case("x-ebay-signature", P256, public(P256, _PEM), _ebay),
    "fireblocks": _case(
        "fireblocks-webhook-signature",
        RSA,
        public(RSA, _PEM),
        _fireblocks,
        without_secret=Cause.KEY_UNAVAILABLE,
    ),
    "neon": _case(
        "x-neon-signature",
        ED25519,
        public(ED25519, _PEM),
        _neon,
        past=300,
        future=300,
        stamped=True,
    ),
    "paypal": Case(
        sign=_paypal,
        header="paypal-transmission-sig",
        secrets=("4JH86294D6297924G", "5KJ97305E7308035H", "6LK08416F8419146I"),
        stamped=True,
        pinned=(public(RSA, _PEM)[0],),
    ),
    "plaid": _case(
        "plaid-verification", P256, public(P256, _PEM), _plaid, past=300, future=300, stamped=True
    ),
    "sendgrid": _case(
        "x-twilio-email-event-webhook-signature", P256, public(P256, _DER), _sendgrid, stamped=True
    ),
    "telnyx": _case(
        "telnyx-signature-ed25519",
        ED25519,
        base64_raw(ED25519),
        _telnyx,
        past=300,
        future=300,
        stamped=True,
    ),
    "tokenio": _case(
        "token-signature",
        ED25519,
        base64_raw(ED25519),
        lambda key, body, at: call({"token-signature": url_based(key.sign(body))}, body, at=at),
    ),
    "utila": _case(
        "x-utila-signature",
        RSA,
        public(RSA, _PEM),
        lambda key, body, at: call({"x-utila-signature": based(rsa_pss(key, body))}, body, at=at),
    ),
    "wechat-pay": _case(
        "wechatpay-signature",
        RSA,
        public(RSA, _PEM),
        _wechat,
        past=300,
        future=300,
        stamped=True,
    ),
    "wix": _case(
        "",
        RSA,
        public(RSA, _PEM),
        _wix,
        future=300,
        past=3659,
        stamped=True,
        covers_body=False,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b""),
        forge=lambda signed, text: replace(signed, body=text.encode("utf-8", "replace")),
    ),
}
