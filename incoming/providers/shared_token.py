"""Senders that prove themselves with a word we gave them, sent along with every call."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incoming.providers.call import Call, Cause, Refused, Secret, Verified
from incoming.providers.declaration import Declaration, usable
from incoming.providers.encoding import as_bytes, encode_bytes
from incoming.providers.locator import as_text, locate, walk
from incoming.providers.placing import place
from incoming.providers.proof import MAX_SIGNATURE_LENGTH


def fitting_secret(token: bytes, secrets: Sequence[Secret]) -> Secret | None:
    """The secret that the token equals, found in a time that does not tell how much of it fits."""
    found = None
    for secret in usable(secrets):
        if hmac.compare_digest(token, as_bytes(secret.value)):
            found = found or secret
    return found


def judge_tokens(tokens: Sequence[str], secrets: Sequence[Secret]) -> Verified | Refused:
    """Verified where each of the tokens is a secret of the source."""
    if not tokens:
        return Refused(Cause.SIGNATURE_MISSING)
    if any(len(token) > MAX_SIGNATURE_LENGTH for token in tokens):
        return Refused(Cause.SIGNATURE_MALFORMED, "the token is too long")
    if not usable(secrets):
        return Refused(Cause.SECRET_MISSING)
    found = None
    for token in dict.fromkeys(tokens):
        found = fitting_secret(as_bytes(token), secrets)
        if found is None:
            return Refused(Cause.CREDENTIALS_MISMATCH)
    return Verified(secret_id=found.id) if found else Refused(Cause.SIGNATURE_MISSING)


@dataclass(frozen=True, kw_only=True)
class SharedToken(Declaration):
    """The secret itself stands at the first of `token_at` (locators) that the call has.

    A `Bearer ` before it may be part of the secret or not. Nothing of the call is signed: whoever
    has seen one call can send others, so TLS and a secret of its own are all the protection there
    is. A locator with `*` names several places, each of which must hold a secret; an item without
    one is refused.
    The source's option `header` names another header, where `own_header` allows one.
    """

    token_at: tuple[str, ...]
    own_header: bool = False
    sends_secret: bool = True

    @property
    def options(self) -> Mapping[str, str]:
        if not self.own_header:
            return self.option_texts
        meaning = "the header that holds the secret, where it is not Authorization"
        return {**self.option_texts, "header": meaning}

    def applies(self, call: Call) -> bool:
        """Whether the call has a token, right or wrong."""
        return any(_tokens(call, place) for place in self.token_at)

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        tokens: list[str] = []
        for locator in self._places_of_token(options):
            tokens = tokens or _tokens(call, locator)
        verdict = judge_tokens(tokens, secrets)
        if isinstance(verdict, Refused) and len(tokens) == 1 and _is_bearer(tokens[0]):
            return judge_tokens([tokens[0][len("bearer ") :]], secrets)
        return verdict

    def _places_of_token(self, options: Mapping[str, str] | None) -> tuple[str, ...]:
        if self.own_header and options and options.get("header"):
            return (f"header:{options['header']}",)
        return self.token_at

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        return place(call, self._places_of_token(options)[0], secret.value)

    def facts(self) -> Sequence[tuple[str, str]]:
        places = ", else ".join(f"`{place}`" for place in self.token_at)
        return [
            ("Signature", f"none: the secret itself, at {places}"),
            ("Signed content", "nothing; rely on TLS and keep the secret to this one source"),
            *self._shared_facts(),
        ]


def _tokens(call: Call, place: str) -> list[str]:
    kind, _, path = place.partition(":")
    if kind == "json":
        parent, _, leaf = path.rpartition(".")
        holders = list(walk(call.json, parent)) if parent else [call.json]
        return [
            (as_text(holder.get(leaf)) or "") if isinstance(holder, dict) else ""
            for holder in holders
            if holder is not None
        ]
    value = locate(call, place)
    return [value] if value else []


def _is_bearer(token: str) -> bool:
    return token[: len("bearer ")].lower() == "bearer "


@dataclass(frozen=True, kw_only=True)
class BasicAuth(Declaration):
    """HTTP Basic (RFC 7617); the secret is `user:password`, split at the first colon."""

    sends_secret: bool = True

    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        header = call.headers.get("authorization")
        if not header:
            return Refused(Cause.SIGNATURE_MISSING)
        scheme, _, text = header.partition(" ")
        if scheme.lower() != "basic" or len(header) > MAX_SIGNATURE_LENGTH:
            return Refused(Cause.SIGNATURE_MALFORMED)
        try:
            credentials = base64.b64decode(text.strip().encode("ascii"), validate=True)
        except (ValueError, binascii.Error):
            return Refused(Cause.SIGNATURE_MALFORMED)
        if not usable(secrets):
            return Refused(Cause.SECRET_MISSING)
        found = fitting_secret(credentials, secrets)
        return Verified(secret_id=found.id) if found else Refused(Cause.CREDENTIALS_MISMATCH)

    def sign(self, call: Call, secret: Secret, options: Mapping[str, str] | None = None) -> Call:
        token = encode_bytes(as_bytes(secret.value), "base64")
        return place(call, "header:authorization", f"Basic {token}")

    def facts(self) -> Sequence[tuple[str, str]]:
        return [
            ("Signature", "none: HTTP Basic in `Authorization`; the secret is `user:password`"),
            ("Signed content", "nothing; rely on TLS and keep the password to this one source"),
            *self._shared_facts(),
        ]
