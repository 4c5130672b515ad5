"""Ed25519 public keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from typing import Any

from webhooks_project.lib.signing import PUBLIC_PREFIX


def key_set(public_keys: Iterable[str]) -> dict[str, Any]:
    """The set of these `whpk_` keys, in their order."""
    return {"keys": [_jwk(text) for text in public_keys]}


def key_id(public_key: str) -> str:
    """The thumbprint of a `whpk_` key (RFC 7638), which is its `kid`."""
    canonical = f'{{"crv":"Ed25519","kty":"OKP","x":"{_x(public_key)}"}}'
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _jwk(public_key: str) -> dict[str, str]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _x(public_key),
        "kid": key_id(public_key),
        "use": "sig",
        "alg": "EdDSA",
    }


def _x(public_key: str) -> str:
    return _base64url(base64.b64decode(public_key.removeprefix(PUBLIC_PREFIX)))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
