"""An HMAC of the body in a header of your choice, for senders that nobody has named yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from incoming.providers.call import Call, Cause, Identity, Refused, Secret, Verified
from incoming.providers.declaration import Declaration
from incoming.providers.locator import header_name
from incoming.providers.recipe import HASHES, Recipe

DEFAULTS: Final[dict[str, str]] = {
    "header": "x-signature",
    "hash": "sha256",
    "encoding": "hex",
    "prefix": "",
    "split": "",
    "version_key": "",
    "key": "text",
    "message": "{body}",
    "timestamp": "",
    "timestamp_unit": "s",
    "id": "",
    "type": "json:type",
}
CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "hash": HASHES,
    "encoding": ("hex", "base64", "base64url"),
    "key": ("text", "hex", "base64", "whsec"),
    "timestamp_unit": ("s", "ms", "iso"),
}
MEANINGS: Final[dict[str, str]] = {
    "header": "the header with the signature; x-signature where it is not set",
    "hash": "sha1, sha256 (the default), sha384 or sha512",
    "encoding": "of the signature: hex (the default), base64 or base64url",
    "prefix": "what stands before the signature, such as sha256=",
    "split": "what separates several signatures, or the items of t=…,v1=…",
    "version_key": "where the header is a list of items, the key of the signature, such as v1",
    "key": "how the secret becomes the key: text (the default), hex, base64 or whsec",
    "message": "the signed text, a template such as {timestamp}.{body}",
    "timestamp": "where the signed timestamp is, such as header:x-timestamp or signature:t",
    "timestamp_unit": "s (the default), ms or iso",
    "id": "where the sender's id is, such as header:x-id",
    "type": "where the event type is, such as json:data.type",
}


@dataclass(frozen=True, kw_only=True)
class GenericHmac(Declaration):
    """Configured by the source's options; see MEANINGS."""

    methods: frozenset[str] = frozenset({"POST", "PUT", "PATCH"})
    option_texts: Mapping[str, str] = field(default_factory=lambda: MEANINGS)

    def check_options(self, options: Mapping[str, str]) -> None:
        recipe_for(options)

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        try:
            recipe = recipe_for(options)
        except ValueError as error:
            return Refused(Cause.SOURCE_MISCONFIGURED, str(error))
        return recipe.verify(call, secrets, tolerance_seconds=tolerance_seconds)

    def sign(
        self, call: Call, secret: Secret, options: Mapping[str, str] | None = None
    ) -> Call | None:
        try:
            return recipe_for(options).sign(call, secret)
        except ValueError:
            return call

    def sample(
        self, call: Call, identity: Identity, options: Mapping[str, str] | None = None
    ) -> Call:
        try:
            return recipe_for(options).sample(call, identity)
        except ValueError:
            return call

    def identify(self, call: Call, options: Mapping[str, str] | None = None) -> Identity:
        try:
            return recipe_for(options).identify(call)
        except ValueError:
            return Identity()


def recipe_for(options: Mapping[str, str] | None) -> Recipe:
    """The recipe that a source's options describe.

    Raises ValueError, naming the option, where one is unknown or has no such value: sources are
    checked with this when they are saved.
    """
    given = options or {}
    for name, value in given.items():
        if name not in DEFAULTS:
            raise ValueError(f"unknown option {name!r}")
        if not isinstance(value, str):
            raise ValueError(f"option {name!r} must be text")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"option {name!r} must be one of {', '.join(CHOICES[name])}")
    if not (given.get("header", DEFAULTS["header"])).strip():
        raise ValueError("option 'header' must name a header")
    return _recipe(tuple(sorted(given.items())))


@lru_cache(maxsize=1024)
def _recipe(pairs: tuple[tuple[str, str], ...]) -> Recipe:
    chosen = DEFAULTS | dict(pairs)
    return Recipe(
        name="generic-hmac",
        label="Generic HMAC",
        signature_headers=(header_name(chosen["header"]),),
        hash=chosen["hash"],
        encoding=chosen["encoding"],
        prefix=chosen["prefix"],
        split=chosen["split"],
        version_key=chosen["version_key"],
        key=chosen["key"],
        message=chosen["message"],
        timestamp=chosen["timestamp"],
        timestamp_unit=chosen["timestamp_unit"],
        id=(chosen["id"],) if chosen["id"] else (),
        type=(chosen["type"],) if chosen["type"] else (),
    )


provider = GenericHmac(
    name="generic-hmac",
    label="Generic HMAC",
    docs="https://www.rfc-editor.org/rfc/rfc2104",
    setup="For a sender that signs with an HMAC and is not listed. Describe its scheme with the "
    "source's options; the secret is the one it signs with.",
    signing="the header that the option `header` names, by the options below",
)
