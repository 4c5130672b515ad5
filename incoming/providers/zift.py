"""Zift, which signs nothing: the secret has to be in the URL that it calls. It takes only an answer
that repeats the notification's id, of the type it had, for an acknowledgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from incoming.providers.call import Answer, Call, Secret
from incoming.providers.handshake import as_json
from incoming.providers.locator import dig
from incoming.providers.shared_token import SharedToken


@dataclass(frozen=True, kw_only=True)
class Zift(SharedToken):
    def acknowledge(
        self, call: Call, secrets: Sequence[Secret], options: Mapping[str, str] | None = None
    ) -> Answer | None:
        value = dig(call.json, "notificationId")
        known = isinstance(value, int | str) and not isinstance(value, bool)
        return as_json({"notificationId": value}) if known else None


provider = Zift(
    name="zift",
    label="Zift",
    docs="https://api.zift.io/#webhooks",
    token_at=("query:token",),
    id=("json:notificationId",),
    type=("json:eventCode",),
    setup="Zift's support registers this URL with `?token=` and the secret of this source after "
    "it. The answer repeats the notification's id; without it Zift tries again.",
)
