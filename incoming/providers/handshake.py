"""Answers to a third party that asks whether we are there, and that more than one of them wants.

What a stranger sent is echoed as plain text or JSON, never as HTML, and with `nosniff`.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from incoming.providers.call import Answer, Call, Cause, Refused, Secret
from incoming.providers.declaration import Handshake, usable
from incoming.providers.encoding import as_bytes
from incoming.providers.shared_token import fitting_secret

MAX_CHALLENGE_LENGTH: Final = 4096  # characters; no third party's challenge is that long
NOSNIFF: Final = {"X-Content-Type-Options": "nosniff"}
_HEADER_SAFE = re.compile(r"[\x21-\x7e]{1,512}")


def plain(text: str) -> Answer:
    return Answer(body=as_bytes(text), headers=NOSNIFF)


def as_json(value: Any) -> Answer:
    # The standard library's: it escapes what is not ASCII, a lone surrogate included.
    body = json.dumps(value, separators=(",", ":")).encode("ascii")
    return Answer(body=body, content_type="application/json", headers=NOSNIFF)


def challenge(value: Any) -> str | None:
    """A challenge that may be echoed: text, not empty, not absurdly long."""
    if isinstance(value, str) and 0 < len(value) <= MAX_CHALLENGE_LENGTH:
        return value
    return None


def ok_to(*methods: str) -> Handshake:
    """200 with nothing in it, for third parties that only look whether the URL answers."""

    def answer(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
        return Answer() if call.method in methods else None

    return answer


def echo_query(name: str) -> Handshake:
    """GET `?name=…`: the value back as text."""

    def answer(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
        value = challenge(call.query.get(name)) if call.method == "GET" else None
        return plain(value) if value else None

    return answer


def verify_token(*, token: str, value: str, echo_as: str = "", mode: str = "") -> Handshake:
    """GET with a token that we chose and a challenge to echo: `token` and `value` are the names of
    these parameters. The token is the source's option `verify_token`, or else one of its secrets.
    `echo_as` is the JSON key of the echo; empty: plain text."""

    def answer(
        call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
    ) -> Answer | Refused | None:
        if call.method != "GET":
            return None
        echo = challenge(call.query.get(value))
        if echo is None or (mode and call.query.get(mode) != "subscribe"):
            return Refused(Cause.HANDSHAKE_REFUSED, "no challenge")
        if options.get("verify_token"):
            secrets = [Secret(id="option", value=options["verify_token"])]
        if fitting_secret(as_bytes(call.query.get(token, "")), secrets) is None:
            return Refused(Cause.HANDSHAKE_REFUSED, "the verify token does not fit")
        return as_json({echo_as: echo}) if echo_as else plain(echo)

    return answer


def echo_header(name: str, *, learn: bool = False) -> Handshake:
    """A header back as a header. With `learn` it is the secret that later calls are signed with:
    it is taken once, and a source that has another secret refuses it."""

    def answer(
        call: Call, secrets: Sequence[Secret], options: Mapping[str, str]
    ) -> Answer | Refused | None:
        value = call.headers.get(name.lower())
        if value is None:
            return None
        if not _HEADER_SAFE.fullmatch(value):
            return Refused(Cause.HANDSHAKE_REFUSED)
        if not learn:
            return Answer(headers={name: value})
        learned = learn_secret(value, secrets)
        if learned is None:
            return Refused(Cause.HANDSHAKE_REFUSED, "the source has another secret already")
        return Answer(headers={name: value}, learned_secret=learned)

    return answer


def learn_secret(value: str, secrets: Sequence[Secret]) -> str | None:
    """The secret to store: empty where the source has it already, None where it has another."""
    if not usable(secrets):
        return value
    return "" if fitting_secret(as_bytes(value), secrets) else None


def hmac_of(text: str, secrets: Sequence[Secret]) -> bytes | None:
    """HMAC-SHA256 of a challenge with the newest secret; None where the source has none."""
    known = usable(secrets)
    return hmac.digest(as_bytes(known[0].value), as_bytes(text), "sha256") if known else None
