"""What the contract suite needs to know of a provider: how to sign a call, and what to expect.

The signers are written from the third parties' rules, without the code that is tested.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from incoming.providers import Call, Cause

URL = "https://hub.example.com/in/src_1"
NOW = 1_750_000_000.0
BODY = '{"id":"evt_1","type":"thing.made","name":"Zoë"}'.encode()
OTHER_BODY = b'{"id":"evt_2","type":"thing.lost"}'

Sign = Callable[[str, bytes, float], Call]


def call(
    headers: Mapping[str, str] | None = None,
    body: bytes = BODY,
    *,
    url: str = URL,
    method: str = "POST",
    at: float = NOW,
) -> Call:
    lowered = {name.lower(): value for name, value in (headers or {}).items()}
    return Call(method=method, url=url, headers=lowered, body=body, received_at=at)


@dataclass(frozen=True)
class Case:
    """One way of one provider to sign.

    `sign` makes a right call with a secret, a body and the moment of signing. `secrets` are two
    that the source has and a stranger's. `past` and `future`: the tolerance, None where there is
    none. `empty`: what is said of a rightly signed empty body, None where that is accepted.
    `garbled`: what is said of a signature that is no ASCII. `covers_body`: whether the body can be
    exchanged. `pinned`: keys that the source holds besides. `strip` takes the signature away and
    `forge` puts text in its place; by default both work on `header`.
    """

    sign: Sign
    header: str = ""
    secrets: tuple[str, str, str] = ("the-first-secret", "the-second-secret", "a-stranger's")
    past: int | None = None
    future: int | None = None
    stamped: bool = False
    body: bytes = BODY
    covers_body: bool = True
    empty: Cause | None = None
    garbled: Cause = Cause.SIGNATURE_MALFORMED
    mismatch: Cause = Cause.SIGNATURE_MISMATCH
    without_secret: Cause = Cause.SECRET_MISSING
    options: Mapping[str, str] = field(default_factory=dict)
    pinned: tuple[str, ...] = ()
    strip: Callable[[Call], Call] | None = None
    forge: Callable[[Call, str], Call] | None = None

    def stripped(self, signed: Call) -> Call:
        if self.strip:
            return self.strip(signed)
        kept = {name: value for name, value in signed.headers.items() if name != self.header}
        return replace(signed, headers=kept)

    def forged(self, signed: Call, text: str) -> Call:
        if self.forge:
            return self.forge(signed, text)
        return replace(signed, headers={**signed.headers, self.header: text})


def hexed(digest: bytes) -> str:
    return digest.hex()


def based(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def url_based(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def mac(key: bytes, message: bytes, digest: str = "sha256") -> bytes:
    return hmac.new(key, message, getattr(hashlib, digest)).digest()


def seconds(at: float) -> str:
    return str(int(at))


def milliseconds(at: float) -> str:
    return str(int(at * 1000))


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def of_body(
    header: str,
    *,
    prefix: str = "",
    digest: str = "sha256",
    encode: Callable[[bytes], str] = hexed,
    key: Callable[[str], bytes] = str.encode,
    text: Callable[[bytes], bytes] = lambda body: body,
    extra: Mapping[str, str] | None = None,
    secrets: tuple[str, str, str] = Case.secrets,
) -> Case:
    """An HMAC of the body, in a header of its own."""

    def sign(secret: str, body: bytes, at: float) -> Call:
        signature = encode(mac(key(secret), text(body), digest))
        return call({**(extra or {}), header: prefix + signature}, body, at=at)

    return Case(sign=sign, header=header, secrets=secrets)


def of_stamp_and_body(
    header: str,
    stamp_header: str,
    text: Callable[[str, bytes], bytes],
    *,
    prefix: str = "",
    clock: Callable[[float], str] = seconds,
    encode: Callable[[bytes], str] = hexed,
    past: int | None = 300,
    future: int | None = 300,
) -> Case:
    """An HMAC of a header's timestamp and the body."""

    def sign(secret: str, body: bytes, at: float) -> Call:
        stamp = clock(at)
        signature = encode(mac(secret.encode(), text(stamp, body)))
        return call({stamp_header: stamp, header: prefix + signature}, body, at=at)

    return Case(sign=sign, header=header, past=past, future=future, stamped=True)


def of_items(
    header: str,
    form: str,
    text: Callable[[str, bytes], bytes] = lambda stamp, body: stamp.encode() + b"." + body,
    *,
    clock: Callable[[float], str] = seconds,
    encode: Callable[[bytes], str] = hexed,
    past: int | None = 300,
    future: int | None = 300,
) -> Case:
    """`t=…,v1=…` in one header; `form` has a {t} and a {s}."""

    def sign(secret: str, body: bytes, at: float) -> Call:
        stamp = clock(at)
        signature = encode(mac(secret.encode(), text(stamp, body)))
        return call({header: form.format(t=stamp, s=signature)}, body, at=at)

    return Case(sign=sign, header=header, past=past, future=future, stamped=True)


def with_token(
    place: Callable[[str, bytes, float], Call],
    *,
    header: str = "",
    strip: Callable[[Call], Call] | None = None,
    forge: Callable[[Call, str], Call] | None = None,
    body: bytes = BODY,
    empty: Cause | None = None,
) -> Case:
    """The secret itself somewhere in the call."""
    return Case(
        sign=place,
        header=header,
        covers_body=False,
        garbled=Cause.CREDENTIALS_MISMATCH,
        mismatch=Cause.CREDENTIALS_MISMATCH,
        strip=strip,
        forge=forge,
        body=body,
        empty=empty,
    )


def in_query(name: str) -> Case:
    def place(secret: str, body: bytes, at: float) -> Call:
        return call({}, body, url=f"{URL}?{name}={secret.replace(' ', '+')}", at=at)

    return with_token(
        place,
        strip=lambda signed: replace(signed, url=URL),
        forge=lambda signed, text: replace(signed, url=f"{URL}?{name}={text}"),
    )


def in_header(header: str, form: str = "{}") -> Case:
    def place(secret: str, body: bytes, at: float) -> Call:
        return call({header: form.format(secret)}, body, at=at)

    return with_token(place, header=header)


def in_basic_auth() -> Case:
    def place(secret: str, body: bytes, at: float) -> Call:
        return call({"authorization": "Basic " + based(secret.encode())}, body, at=at)

    return replace(
        with_token(place, header="authorization"),
        garbled=Cause.SIGNATURE_MALFORMED,
        secrets=("user:first:pass", "user:second", "user:stränger"),
    )
