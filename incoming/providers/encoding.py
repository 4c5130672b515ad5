"""Text as third parties write it, as bytes: signatures strictly, our own keys leniently."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Final

SIGNATURE_ENCODINGS: Final = ("hex", "base64", "base64url", "base64-of-hex")
KEY_FORMS: Final = ("text", "hex", "base64", "whsec", "whsec-or-text", "sha1")


def as_bytes(text: str) -> bytes:
    """UTF-8, with lone surrogates let through: a header or a secret may hold anything."""
    return text.encode("utf-8", "surrogatepass")


def decode_bytes(text: str, encoding: str) -> bytes | None:
    """Decode a signature, None where the text is not that.

    Only the one canonical spelling of base64 is taken: a decoder that ignores the unused bits of
    the last character would accept several signatures for one message. Hex is taken in either
    case; base64url with or without its padding. `base64-of-hex` is base64 of the hex digits.
    """
    try:
        raw = text.encode("ascii")
        match encoding:
            case "hex":
                return binascii.unhexlify(raw)
            case "base64":
                return _canonical(raw)
            case "base64url":
                if b"+" in raw or b"/" in raw:
                    return None
                bare = raw.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
                return _canonical(bare + b"=" * (-len(bare) % 4))
            case "base64-of-hex":
                inner = _canonical(raw)
                return None if inner is None else binascii.unhexlify(inner)
    except (ValueError, binascii.Error):
        return None
    raise ValueError(f"unknown encoding {encoding!r}")


def encode_bytes(signature: bytes, encoding: str) -> str:
    """A signature as text that `decode_bytes` takes."""
    match encoding:
        case "hex":
            return signature.hex()
        case "base64":
            return base64.b64encode(signature).decode()
        case "base64url":
            return base64.urlsafe_b64encode(signature).decode().rstrip("=")
        case "base64-of-hex":
            return base64.b64encode(signature.hex().encode()).decode()
    raise ValueError(f"unknown encoding {encoding!r}")


def _canonical(raw: bytes) -> bytes | None:
    decoded = base64.b64decode(raw, validate=True)
    return decoded if base64.b64encode(decoded) == raw else None


def key_bytes(secret: str, form: str) -> bytes | None:
    """The HMAC key that a source's secret stands for; None where it is empty or not of that form.

    Never empty: with an empty key anybody could sign.
    """
    if form == "whsec-or-text":  # the prefix tells
        form = "whsec" if secret.strip().startswith("whsec_") else "text"
    match form:
        case "text":
            key: bytes | None = as_bytes(secret)
        case "hex":
            key = decode_bytes(secret.strip(), "hex")
        case "base64":
            key = _lenient_base64(secret)
        case "whsec":  # Standard Webhooks: base64; the prefix is optional, "v1," is Supabase's
            key = _lenient_base64(secret.strip().removeprefix("v1,").removeprefix("whsec_"))
        case "sha1":
            key = hashlib.sha1(as_bytes(secret)).digest() if secret else None
        case _:
            raise ValueError(f"unknown key form {form!r}")
    return key or None


def _lenient_base64(text: str) -> bytes | None:
    """Base64 in either alphabet, padded or not: people paste keys as they were shown them."""
    try:
        raw = text.strip().encode("ascii").translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
        return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except (ValueError, binascii.Error):
        return None
