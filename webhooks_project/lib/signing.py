"""Standard Webhooks signatures for what we send: v1 (HMAC-SHA256) and v1a (Ed25519), in base64.

Source: the Standard Webhooks specification 1.0.0, "Signature scheme".
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PREFIX: Final = "whsec_"
PRIVATE_PREFIX: Final = "whsk_"
PUBLIC_PREFIX: Final = "whpk_"
SECRET_BYTES: Final = 32  # the specification asks for 24 to 64
SEED_BYTES: Final = 32  # of an Ed25519 key; its public half has as many

Key = bytes | Ed25519PrivateKey


def new_secret() -> str:
    """A fresh shared secret, `whsec_` and 32 random bytes in base64."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def new_private_key() -> str:
    """A fresh Ed25519 key, `whsk_` and its seed and public half, 64 bytes, in base64."""
    seed = secrets.token_bytes(SEED_BYTES)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return PRIVATE_PREFIX + base64.b64encode(seed + public).decode()


def key_of(secret: str) -> Key:
    """What a secret signs with: bytes for an HMAC, or an Ed25519 key.

    Raises ValueError where it is neither `whsec_` and 24 to 64 bytes nor `whsk_` and a seed of 32
    bytes, alone or with the public half that belongs to it.
    """
    if secret.startswith(PRIVATE_PREFIX):
        return _private_key(secret)
    key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    if not 24 <= len(key) <= 64:
        raise ValueError("a signing secret is whsec_ and the base64 of 24 to 64 bytes")
    return key


def public_key_of(secret: str) -> str:
    """The `whpk_` text of a `whsk_` secret; empty for a shared secret. Raises ValueError."""
    key = key_of(secret)
    if isinstance(key, bytes):
        return ""
    return PUBLIC_PREFIX + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def signature_header(keys: Sequence[Key], *, message_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` value: `v1,…` or `v1a,…` for each key, separated by spaces."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return " ".join(
        "v1," + base64.b64encode(_hmac_sha256(key, content)).decode()
        if isinstance(key, bytes)
        else "v1a," + base64.b64encode(key.sign(content)).decode()
        for key in keys
    )


def _hmac_sha256(key: bytes, content: bytes) -> bytes:
    made = _keyed(key).copy()
    made.update(content)
    return made.digest()


@lru_cache(maxsize=1024)  # to set a key up takes twice as long as to sign a kilobyte with it
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def _private_key(secret: str) -> Ed25519PrivateKey:
    raw = base64.b64decode(secret.removeprefix(PRIVATE_PREFIX), validate=True)
    seed, public = raw[:SEED_BYTES], raw[SEED_BYTES:]
    if len(seed) == SEED_BYTES and len(public) in (0, SEED_BYTES):
        key = Ed25519PrivateKey.from_private_bytes(seed)
        if not public or public == key.public_key().public_bytes_raw():
            return key
    raise ValueError("an Ed25519 secret is whsk_ and the base64 of a seed and its public key")
