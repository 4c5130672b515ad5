"""JSON Web Signatures (RFC 7515), as much of them as the third parties use.

The algorithms are named by the provider, never by the token alone: `none` does not exist here, and
a public key can never serve as an HMAC key, since the one is checked by `is_signed_by` and the
other by `hmac`.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from incoming.providers import pinned
from incoming.providers.call import Cause, Refused, Secret
from incoming.providers.declaration import usable
from incoming.providers.encoding import as_bytes, decode_bytes, encode_bytes
from incoming.providers.public_key import is_signed_by, load_public_key
from incoming.providers.timestamp import LAST_MOMENT, Tolerance

MAX_TOKEN_LENGTH: Final = 16 * 1024  # characters of a token in a header

_SHARED: Final = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}
_PUBLIC: Final = {
    "RS256": ("rsa", "sha256"),
    "RS512": ("rsa", "sha512"),
    "ES256": ("ecdsa-raw", "sha256"),
    "EdDSA": ("ed25519", ""),
}
_MALFORMED = Refused(Cause.SIGNATURE_MALFORMED, "not a signed token of the kind expected")


@dataclass(frozen=True, slots=True)
class Token:
    """A token taken apart, nothing of it proved yet."""

    header: Mapping[str, Any]
    payload: bytes
    algorithm: str
    signing_input: bytes
    signature: bytes

    @property
    def key_id(self) -> str:
        value = self.header.get("kid")
        return value if isinstance(value, str) else ""


def parse_token(
    text: str,
    *,
    algorithms: Sequence[str],
    detached: bytes | None = None,
    max_length: int = MAX_TOKEN_LENGTH,
) -> Token | Refused:
    """Take `header.payload.signature` apart; with `detached`, base64url of the payload that the
    token leaves out (RFC 7515, appendix F)."""
    parts = text.split(".") if len(text) <= max_length else []
    if len(parts) != 3 or (detached is not None and parts[1]):
        return _MALFORMED
    middle = parts[1] if detached is None else detached.decode("ascii")
    header, payload, signature = (_decode(part) for part in (parts[0], middle, parts[2]))
    if header is None or payload is None or not signature:
        return _MALFORMED
    fields = as_object(header)
    # `crit` names extensions that must be understood, and none is.
    if fields is None or fields.get("alg") not in algorithms or "crit" in fields:
        return _MALFORMED
    signing_input = f"{parts[0]}.{middle}".encode("ascii")
    return Token(fields, payload, fields["alg"], signing_input, signature)


def find_signer(token: Token, secrets: Sequence[Secret]) -> Secret | Refused:
    """The secret, or the public key kept as one, that the token was signed with."""
    known = usable(secrets)
    if not known:
        return Refused(Cause.SECRET_MISSING)
    for secret in known:
        if _is_signed(token, secret.value):
            return secret
    return Refused(Cause.SIGNATURE_MISMATCH)


def _is_signed(token: Token, key: str) -> bool:
    if token.algorithm in _SHARED:
        expected = hmac.digest(as_bytes(key), token.signing_input, _SHARED[token.algorithm])
        return hmac.compare_digest(expected, token.signature)
    public_key = load_public_key(key)
    algorithm, digest = _PUBLIC[token.algorithm]
    return public_key is not None and is_signed_by(
        public_key, token.signing_input, token.signature, algorithm=algorithm, hash=digest
    )


def published_keys(url: str, *, host: str, key_id: str) -> list[Secret]:
    """The keys of that id in a set (RFC 7517) that a third party publishes, as nobody's secrets."""
    body = pinned.fetch(url, host=host)
    keys = (as_object(body) or {}).get("keys") if body else None
    if not key_id or not isinstance(keys, list):
        return []
    return [
        Secret(id="", value=orjson.dumps(key).decode())
        for key in keys
        if isinstance(key, dict) and key.get("kid") == key_id
    ]


def check_period(claims: Mapping[str, Any], *, now: float, leeway_seconds: int) -> Refused | None:
    """Refuse before `nbf` and from `exp` on (RFC 7519, 4.1.4 and 4.1.5), with a leeway; each
    counts where it is present. Times in Unix seconds."""
    for name in ("nbf", "exp"):
        if name in claims and moment(claims, name) is None:
            return Refused(Cause.TIMESTAMP_MALFORMED, f"claim {name}")
    starts, ends = moment(claims, "nbf"), moment(claims, "exp")
    if starts is not None and starts > now + leeway_seconds:
        return Refused(Cause.TIMESTAMP_IN_FUTURE, "claim nbf")
    if ends is not None and ends <= now - leeway_seconds:
        return Refused(Cause.TIMESTAMP_TOO_OLD, "claim exp")
    return None


def check_issued_at(
    claims: Mapping[str, Any], *, now: float, tolerance: Tolerance
) -> Refused | float:
    """The claim `iat`, in Unix seconds, where it is there and within the tolerance."""
    if "iat" not in claims:
        return Refused(Cause.TIMESTAMP_MISSING, "claim iat")
    issued_at = moment(claims, "iat")
    if issued_at is None:
        return Refused(Cause.TIMESTAMP_MALFORMED, "claim iat")
    return tolerance.check(issued_at, now=now) or issued_at


def moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A claim that is a moment, in Unix seconds; None where it is none."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= LAST_MOMENT else None


def read_claims(token: Token, secrets: Sequence[Secret]) -> tuple[Secret, dict[str, Any]] | Refused:
    """Who signed the token, and the claims that it holds."""
    signer = find_signer(token, secrets)
    if isinstance(signer, Refused):
        return signer
    claims = as_object(token.payload)
    return _MALFORMED if claims is None else (signer, claims)


def as_object(payload: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def is_sha256_of(claim: Any, message: bytes) -> bool:
    """Whether a claim is the SHA-256 of the message in hex, in either case."""
    given = decode_bytes(claim, "hex") if isinstance(claim, str) else None
    return given is not None and hmac.compare_digest(hashlib.sha256(message).digest(), given)


def signed_token(claims: Mapping[str, Any], secret: Secret) -> str:
    """A token of these claims that the secret signs, HS256."""
    parts = [orjson.dumps({"alg": "HS256", "typ": "JWT"}), orjson.dumps(claims)]
    signing_input = ".".join(encode_bytes(part, "base64url") for part in parts)
    signature = hmac.digest(as_bytes(secret.value), signing_input.encode("ascii"), "sha256")
    return f"{signing_input}.{encode_bytes(signature, 'base64url')}"


def _decode(part: str) -> bytes | None:
    """Base64url without padding, the only spelling that RFC 7515 allows."""
    return None if "=" in part else decode_bytes(part, "base64url")
