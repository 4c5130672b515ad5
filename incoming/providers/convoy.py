"""Convoy, in its simple form (the digest alone) and its advanced one (`t=…,v1=…`).

Source: frain-dev/convoy, `pkg/signature`: the advanced form signs time and body with a comma.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.locator import header_name
from incoming.providers.recipe import Recipe

_CHOICES: Final = {"hash": ("sha256", "sha512"), "encoding": ("hex", "base64")}


@dataclass(frozen=True, kw_only=True)
class Convoy(Declaration):
    def check_options(self, options: Mapping[str, str]) -> None:
        super().check_options(options)
        _chosen(options)

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        try:
            header, hash_name, encoding = _chosen(options or {})
        except ValueError as error:
            return Refused(Cause.SOURCE_MISCONFIGURED, str(error))
        # A digest holds an equals sign at its end only, an advanced header one in each item.
        advanced = "=" in call.headers.get(header, "").rstrip("=")
        recipe = _recipe(header, hash_name, encoding, advanced)
        return recipe.verify(call, secrets, tolerance_seconds=tolerance_seconds)

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        try:
            recipe = _recipe(*_chosen(options or {}), advanced=True)
        except ValueError:
            return call
        return recipe.sign(call, secret)


def _chosen(options: Mapping[str, str]) -> tuple[str, str, str]:
    chosen = {"hash": "sha256", "encoding": "hex"} | {
        name: value.lower() for name, value in options.items() if name in _CHOICES
    }
    for name, known in _CHOICES.items():
        if chosen[name] not in known:
            raise ValueError(f"option {name!r} must be one of {', '.join(known)}")
    header = options.get("header") or "x-convoy-signature"
    return header_name(header), chosen["hash"], chosen["encoding"]


@lru_cache(maxsize=256)
def _recipe(header: str, hash_name: str, encoding: str, advanced: bool) -> Recipe:
    if not advanced:
        return Recipe(signature_headers=(header,), hash=hash_name, encoding=encoding)
    return Recipe(
        signature_headers=(header,),
        split=",",
        version_key="v1",
        hash=hash_name,
        encoding=encoding,
        message="{timestamp},{body}",
        timestamp="signature:t",
    )


provider = Convoy(
    name="convoy",
    label="Convoy",
    docs="https://docs.getconvoy.io/product-manual/signatures",
    signing="`X-Convoy-Signature`: HMAC-SHA256 or -SHA512 in hex or base64 over the body; or "
    "`t=…,v1=…` over `{timestamp},{body}`, 300 s old or ahead at most",
    id=("header:x-convoy-idempotency-key", "header:x-convoy-event-id"),
    type=("json:event_type", "json:event"),
    option_texts={
        "header": "the project's signature header, where it is not X-Convoy-Signature",
        "hash": "sha256 (the default) or sha512",
        "encoding": "hex (the default) or base64",
    },
    setup="In the project: Endpoints, Create endpoint. The secret is the endpoint's secret. Hash, "
    "encoding and header are the project's signature settings; give them as options.",
)
