"""Signers of the third parties that a recipe covers, keyed by the provider's name."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

from incoming.providers import Call, Cause

from .cases import (
    BODY,
    URL,
    Case,
    based,
    call,
    hexed,
    in_basic_auth,
    in_header,
    in_query,
    iso,
    mac,
    milliseconds,
    of_body,
    of_items,
    of_stamp_and_body,
    seconds,
    url_based,
)


def _dotted(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + b"." + body


def _coloned(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + b":" + body


def _joined(stamp: str, body: bytes) -> bytes:
    return stamp.encode() + body


def _slack(stamp: str, body: bytes) -> bytes:
    return b"v0:" + stamp.encode() + b":" + body


def _hub(header: str = "x-hub-signature-256") -> Case:
    return of_body(header, prefix="sha256=")


def _base64(header: str) -> Case:
    return of_body(header, encode=based)


BASE64_SECRETS = tuple(base64.b64encode(bytes([n]) * 24).decode() for n in (1, 2, 3))
WHSEC_SECRETS = tuple(f"whsec_{secret}" for secret in BASE64_SECRETS)


def standard(*, plain_key: bool = False, prefix: str = "webhook") -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        key = secret.encode() if plain_key else base64.b64decode(secret.split("_")[-1])
        stamp = seconds(at)
        signature = based(mac(key, b"msg_1." + stamp.encode() + b"." + body))
        headers = {"id": "msg_1", "timestamp": stamp, "signature": f"v1,{signature}"}
        return call({f"{prefix}-{name}": value for name, value in headers.items()}, body, at=at)

    case = Case(sign=sign, header=f"{prefix}-signature", past=300, future=300, stamped=True)
    return case if plain_key else replace(case, secrets=WHSEC_SECRETS)


def _linear() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        if body:
            body = b'{"webhookTimestamp":%d,%s' % (at * 1000, body[1:])
        return call({"linear-signature": hexed(mac(secret.encode(), body))}, body, at=at)

    return Case(
        sign=sign,
        header="linear-signature",
        past=60,
        future=60,
        stamped=True,
        empty=Cause.TIMESTAMP_MISSING,
        # Another body is first of all one without a timestamp.
        covers_body=False,
    )


def _twitch() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        stamp = iso(at).replace("Z", ".000000001Z")
        signature = hexed(mac(secret.encode(), b"msg_1" + stamp.encode() + body))
        names = ("message-id", "message-timestamp", "message-signature")
        values = ("msg_1", stamp, f"sha256={signature}")
        pairs = zip(names, values, strict=True)
        return call({f"twitch-eventsub-{name}": value for name, value in pairs}, body, at=at)

    return Case(
        sign=sign, header="twitch-eventsub-message-signature", past=600, future=600, stamped=True
    )


def _cloudinary() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        stamp = seconds(at)
        digest = hashlib.sha1(body + stamp.encode() + secret.encode()).hexdigest()
        return call({"x-cld-timestamp": stamp, "x-cld-signature": digest}, body, at=at)

    return Case(sign=sign, header="x-cld-signature", past=7200, future=300, stamped=True)


def _solidgate() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        digest = mac(secret.encode(), b"wh_pk_1" + body + b"wh_pk_1", "sha512").hex()
        signature = base64.b64encode(digest.encode()).decode()
        return call({"merchant": "wh_pk_1", "signature": signature}, body, at=at)

    return Case(sign=sign, header="signature")


def _walmart() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        stamp, url = seconds(at), f"{URL}?a=1&b=%20"
        digest = hashlib.sha256(body).hexdigest()
        text = f"POST\n/in/src_1?a=1&b=%20\n{stamp}\n{digest}"
        headers = {
            "wm-sec.timestamp": stamp,
            "wm-sec.signature": based(mac(secret.encode(), text.encode())),
        }
        return call(headers, body, url=url, at=at)

    return Case(sign=sign, header="wm-sec.signature", past=300, future=300, stamped=True)


def _nmi() -> Case:
    def sign(secret: str, body: bytes, at: float) -> Call:
        signature = hexed(mac(secret.encode(), b"nonce-1." + body))
        return call({"webhook-signature": f"t=nonce-1,s={signature}"}, body, at=at)

    return Case(sign=sign, header="webhook-signature")


def _favro() -> Case:
    body = b'{"payloadId":"cGF5bG9hZA==","action":"ping"}'

    def sign(secret: str, body: bytes, at: float) -> Call:
        signature = based(mac(secret.encode(), b"cGF5bG9hZA==" + URL.encode(), "sha1"))
        return call({"x-favro-webhook": signature}, body, at=at)

    # Without a body there is no payloadId, and so nothing that was signed.
    return Case(
        sign=sign,
        header="x-favro-webhook",
        body=body,
        covers_body=False,
        empty=Cause.SIGNATURE_MALFORMED,
    )


def _in_body(name: str, *, items: bool = False) -> Case:
    """The secret as a JSON value; with `items` as the `clientState` of each of two items."""

    def place(secret: str, body: bytes, at: float) -> Call:
        if not body:
            return call({}, body, at=at)
        text = '{"value":[{"%s":"%s"},{"%s":"%s"}]}' if items else '{"%s":"%s"}'
        filled = text % ((name, secret) * (2 if items else 1))
        return call({}, filled.encode(), at=at)

    def forge(signed: Call, text: str) -> Call:
        safe = text.encode("utf-8", "replace").decode()
        return place(safe, BODY, signed.received_at)

    return Case(
        sign=place,
        covers_body=False,
        garbled=Cause.CREDENTIALS_MISMATCH,
        mismatch=Cause.CREDENTIALS_MISMATCH,
        empty=Cause.SIGNATURE_MISSING,
        strip=lambda signed: replace(signed, body=b""),
        forge=forge,
    )


CASES: dict[str, Case] = {
    "airtable": replace(
        of_body(
            "x-airtable-content-mac", prefix="hmac-sha256=", key=lambda text: base64.b64decode(text)
        ),
        secrets=BASE64_SECRETS,
    ),
    "airwallex": of_stamp_and_body("x-signature", "x-timestamp", _joined, clock=milliseconds),
    "akeneo": of_stamp_and_body(
        "x-akeneo-request-signature", "x-akeneo-request-timestamp", _dotted
    ),
    "alchemy": of_body("x-alchemy-signature"),
    "asana": of_body("x-hook-signature"),
    "ashby": _hub("ashby-signature"),
    "attentive": of_body("x-attentive-hmac-sha256"),
    "auth0": in_header("authorization", "Bearer {}"),
    "bigcommerce": standard(plain_key=True),
    "bitbucket": _hub("x-hub-signature"),
    "bridge-api": of_body(
        "bridgeapi-signature", prefix="v1=", encode=lambda raw: raw.hex().upper()
    ),
    "bunny-stream": of_body("x-bunnystream-signature"),
    "calendly": of_items("calendly-webhook-signature", "t={t},v1={s}", past=180, future=180),
    "chargebee": in_basic_auth(),
    "circleci": of_body("circleci-signature", prefix="v1="),
    "clerk": standard(prefix="svix"),
    "clio": of_body("x-hook-signature"),
    "cloudinary": _cloudinary(),
    "coinbase-commerce": of_body("x-cc-webhook-signature"),
    "commercelayer": _base64("x-commercelayer-signature"),
    "convoy": of_items(
        "x-convoy-signature", "t={t},v1={s}", lambda stamp, body: stamp.encode() + b"," + body
    ),
    "courier": of_items("courier-signature", "t={t},signature={s}", clock=milliseconds),
    "cursor": _hub("x-webhook-signature"),
    "customerio": of_stamp_and_body("x-cio-signature", "x-cio-timestamp", _slack),
    "docusign": _base64("x-docusign-signature-100"),
    "dropbox": of_body("x-dropbox-signature"),
    "elevenlabs": of_items("elevenlabs-signature", "t={t},v0={s}", past=1800, future=300),
    "enode": of_body("x-enode-signature", prefix="sha1=", digest="sha1"),
    "ethoca": in_basic_auth(),
    "fastspring": _base64("x-fs-signature"),
    "favro": _favro(),
    "fireflies": _hub("x-hub-signature"),
    "flexport": _hub(),
    "frontapp": of_stamp_and_body(
        "x-front-signature",
        "x-front-request-timestamp",
        _coloned,
        clock=milliseconds,
        encode=based,
    ),
    "gemini": standard(),
    "generic-hmac": of_body("x-signature"),
    "github": _hub(),
    "gocardless": of_body("webhook-signature"),
    "hookdeck": _base64("x-hookdeck-signature-2"),
    "huggingface": in_header("x-webhook-secret"),
    "intercom": of_body("x-hub-signature", prefix="sha1=", digest="sha1"),
    "jira": _hub("x-hub-signature"),
    "knock": of_items("x-knock-signature", "t={t},s={s}", clock=milliseconds, encode=based),
    "launchdarkly": of_body("x-ld-signature"),
    "line": _base64("x-line-signature"),
    "linear": _linear(),
    "linkedin": of_body("x-li-signature", text=lambda body: b"hmacsha256=" + body),
    "lithic": standard(),
    "mailchimp": in_query("token"),
    "meraki": _in_body("sharedSecret"),
    "meta": _hub(),
    "microsoft-graph": _in_body("clientState", items=True),
    "microsoft-sharepoint": _in_body("clientState", items=True),
    "mollie": _hub("x-mollie-signature"),
    "nmi": _nmi(),
    "notion": _hub("x-notion-signature"),
    "nuvemshop": of_body("x-linkedstore-hmac-sha256"),
    "nylas": of_body("x-nylas-signature"),
    "okta": in_header("authorization"),
    "onfido": of_body("x-sha2-signature"),
    "openai": standard(),
    "oura": of_stamp_and_body(
        "x-oura-signature", "x-oura-timestamp", _joined, encode=lambda raw: raw.hex().upper()
    ),
    "paddle": of_items("paddle-signature", "ts={t};h1={s}", _coloned, past=5, future=None),
    "paystack": of_body("x-paystack-signature", digest="sha512"),
    "persona": of_items("persona-signature", "t={t},v1={s}"),
    "picqer": _base64("x-picqer-signature"),
    "pipedrive": in_basic_auth(),
    "polar": standard(plain_key=True),
    "postmark": in_basic_auth(),
    "pylon": of_stamp_and_body(
        "pylon-webhook-signature", "pylon-webhook-timestamp", _dotted, prefix="hs256="
    ),
    "qonto": of_items("x-qonto-signature", "t={t},v1={s}"),
    "razorpay": of_body("x-razorpay-signature"),
    "recharge": of_items(
        "x-recharge-webhook-signature", "t={t},v1={s}", past=172_800, future=172_800
    ),
    "recurly": in_basic_auth(),
    "replicate": standard(),
    "resend": standard(prefix="svix"),
    "retell": of_items(
        "x-retell-signature",
        "v={t},d={s}",
        lambda stamp, body: body + stamp.encode(),
        clock=milliseconds,
    ),
    "revolut": of_stamp_and_body(
        "revolut-signature",
        "revolut-request-timestamp",
        lambda stamp, body: b"v1." + stamp.encode() + b"." + body,
        prefix="v1=",
        clock=milliseconds,
    ),
    "ringcentral": in_header("verification-token"),
    "salesforce": in_query("token"),
    "sanity": of_items(
        "sanity-webhook-signature",
        "t={t},v1={s}",
        clock=milliseconds,
        encode=url_based,
        past=None,
        future=None,
    ),
    "shipbob": standard(),
    "shiphero": _base64("x-shiphero-hmac-sha256"),
    "shopify": _base64("x-shopify-hmac-sha256"),
    "shopline": of_body("x-shopline-hmac-sha256"),
    "slack": of_stamp_and_body(
        "x-slack-signature", "x-slack-request-timestamp", _slack, prefix="v0="
    ),
    "smartcar": of_body("sc-signature"),
    "smile": of_body("smile-signature", digest="sha512"),
    "solidgate": _solidgate(),
    "square": replace(
        of_body(
            "x-square-hmacsha256-signature", encode=based, text=lambda body: URL.encode() + body
        )
    ),
    "standard-webhooks": standard(),
    "statsig": of_stamp_and_body(
        "x-statsig-signature",
        "x-statsig-request-timestamp",
        _slack,
        prefix="v0=",
        clock=milliseconds,
    ),
    "strava": in_query("token"),
    "stripe": of_items("stripe-signature", "t={t},v1={s}", future=None),
    "supabase": replace(standard(), secrets=tuple(f"v1,{secret}" for secret in WHSEC_SECRETS)),
    "svix": standard(prefix="svix"),
    "synctera": of_stamp_and_body("synctera-signature", "request-timestamp", _dotted),
    "tally": _base64("tally-signature"),
    "tebex": of_body("x-signature", text=lambda body: hashlib.sha256(body).hexdigest().encode()),
    "tiktok": of_items("tiktok-signature", "t={t},s={s}"),
    "trello": of_body(
        "x-trello-webhook", digest="sha1", encode=based, text=lambda body: body + URL.encode()
    ),
    "twitch": _twitch(),
    "twitter": of_body("x-twitter-webhooks-signature", prefix="sha256=", encode=based),
    "typeform": of_body("typeform-signature", prefix="sha256=", encode=based),
    "uber": of_body("x-uber-signature"),
    "vercel": of_body("x-vercel-signature", digest="sha1"),
    "walmart": _walmart(),
    "webflow": of_stamp_and_body(
        "x-webflow-signature", "x-webflow-timestamp", _coloned, clock=milliseconds
    ),
    "whatsapp": _hub(),
    "woocommerce": _base64("x-wc-webhook-signature"),
    "workos": of_items(
        "workos-signature", "t={t}, v1={s}", clock=milliseconds, past=180, future=180
    ),
    "xero": _base64("x-xero-signature"),
    "zendesk": of_stamp_and_body(
        "x-zendesk-webhook-signature",
        "x-zendesk-webhook-signature-timestamp",
        _joined,
        clock=iso,
        encode=based,
        past=None,
        future=None,
    ),
    "zift": in_query("token"),
    "zoom": of_stamp_and_body("x-zm-signature", "x-zm-request-timestamp", _slack, prefix="v0="),
}
