"""Cloudinary: no HMAC but a plain hash, with the API secret at the end of what is hashed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from incoming.providers.call import Call, Refused, Secret, Verified
from incoming.providers.recipe import Recipe
from incoming.providers.timestamp import Tolerance

_HASHES: Final = ("sha1", "sha256")
_SHA256_DIGITS: Final = 64


@dataclass(frozen=True, kw_only=True)
class Cloudinary(Recipe):
    """SHA-1, or SHA-256 for an account that was switched to it: the option `hash` says which one is
    taken; without it the signature's length tells."""

    def check_options(self, options: Mapping[str, str]) -> None:
        super().check_options(options)
        if options.get("hash", "sha1") not in _HASHES:
            raise ValueError("option 'hash' must be sha1 or sha256")

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        told = len(call.headers.get("x-cld-signature", "")) == _SHA256_DIGITS
        chosen = (options or {}).get("hash") or _HASHES[told]
        recipe = _SHA256 if chosen == "sha256" else _SHA1
        return recipe.verify(call, secrets, tolerance_seconds=tolerance_seconds)


_SHA1: Final = Recipe(
    signature_headers=("x-cld-signature",),
    algorithm="digest",
    hash="sha1",
    message="{body}{timestamp}{secret}",
    timestamp="header:x-cld-timestamp",
    tolerance=Tolerance(7200, 300),
)
_SHA256: Final = replace(_SHA1, hash="sha256")

provider = Cloudinary(
    name="cloudinary",
    label="Cloudinary",
    docs="https://cloudinary.com/documentation/notification_signatures",
    signature_headers=_SHA1.signature_headers,
    algorithm=_SHA1.algorithm,
    hash=_SHA1.hash,
    message=_SHA1.message,
    timestamp=_SHA1.timestamp,
    tolerance=_SHA1.tolerance,
    id=("json:notification_id", "json:request_id"),
    type=("json:notification_type",),
    option_texts={
        "hash": "sha1 or sha256, to take that one only; without it the signature's length tells"
    },
    setup="In the Console's settings: Webhook Notifications, Add. The secret is the API secret of "
    "the account (Settings, API Keys), of the key that the notification is signed with.",
)
