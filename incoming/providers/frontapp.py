"""Front. Webhooks of an application sign time and body; those of a rule, which are older, have no
time and sign the body alone, with SHA-1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from incoming.providers.call import Answer, Call, Refused, Secret, Verified
from incoming.providers.handshake import MAX_CHALLENGE_LENGTH, plain
from incoming.providers.recipe import Recipe

_STAMP: Final = "x-front-request-timestamp"
_OF_A_RULE: Final = Recipe(signature_headers=("x-front-signature",), hash="sha1", encoding="base64")


@dataclass(frozen=True, kw_only=True)
class Frontapp(Recipe):
    def verify(
        self,
        call: Call,
        secrets: Sequence[Secret],
        *,
        tolerance_seconds: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Verified | Refused:
        if _STAMP not in call.headers:
            return _OF_A_RULE.verify(call, secrets)
        return super().verify(call, secrets, tolerance_seconds=tolerance_seconds)


def _challenge(call: Call, secrets: Sequence[Secret], options: Mapping[str, str]) -> Answer | None:
    value = call.headers.get("x-front-challenge", "")
    return plain(value) if 0 < len(value) <= MAX_CHALLENGE_LENGTH else None


provider = Frontapp(
    name="frontapp",
    label="Front",
    docs="https://dev.frontapp.com/docs/application-webhooks",
    signature_headers=("x-front-signature",),
    encoding="base64",
    message="{timestamp}:{body}",
    timestamp=f"header:{_STAMP}",
    timestamp_unit="ms",
    id=("json:payload.id", "json:id"),
    type=("json:type", "json:payload.type"),
    on_handshake=_challenge,
    handshake_text="a POST with `X-Front-Challenge`: the value back as text",
    unsigned_handshake=True,
    setup="In the developer settings: the app's Features, Application webhooks, Server URL. The "
    "secret is the app's signing key, on its Basic Information page. For a rule's webhook, which "
    "signs the body alone with HMAC-SHA1, it is the API secret of the Webhooks app, under Apps.",
)
