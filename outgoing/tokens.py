"""OAuth2 access tokens: fetched beside the deliveries, kept in memory, dropped when refused.

A fetch is one more transfer of the pump's engine, under the same address policy and with a deadline
of its own. Attempts that need the token wait for it and keep their place among those under way, so
a token endpoint that hangs costs others no more than an endpoint that hangs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from outgoing.endpoints import Endpoint
from outgoing.lines import Work
from webhooks_project.lib.authentication import ClientCredentials, NoToken, read_token
from webhooks_project.lib.outbound import Failure, Outbound, Response

# After a fetch that failed, those that need the token fail with it; then it is tried again.
PAUSE_SECONDS: Final = 5.0
# After a fresh token was refused too, a 401 is the endpoint's answer and no reason for another.
BELIEVED_SECONDS: Final = 60.0
UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Kept:
    """A token, or, where `text` is empty, why there is none. Good until `ends_at`."""

    credentials: ClientCredentials
    ends_at: float
    text: str = field(default="", repr=False)
    problem: str = ""


@dataclass(slots=True, eq=False)
class Fetch:
    """A token on its way, and the attempts that wait for it."""

    subscription_id: UUID
    credentials: ClientCredentials
    waiting: list[Work] = field(default_factory=list)


# Of this process; a pump's turn is short, a token's life is not. Never stored.
_KEPT: dict[UUID, Kept] = {}


class Tokens:
    """The tokens of the subscriptions that one pump delivers to."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._fetches: dict[UUID, Fetch] = {}
        self._used: dict[Work, str] = {}
        self._renewed: set[Work] = set()
        self._believed_until: dict[UUID, float] = {}

    def token_for(self, work: Work, endpoint: Endpoint) -> str | Response | None:
        """The token to send, empty where none is needed; the failure where there can be none.

        None: the attempt waits, and `take_in` gives it back.
        """
        credentials = endpoint.security.credentials
        if credentials is None:
            return ""
        kept = _KEPT.get(endpoint.subscription_id)
        if kept is None or kept.credentials != credentials or kept.ends_at <= time.monotonic():
            return self._wait(work, endpoint.subscription_id, credentials)
        if not kept.text:
            return _failure(kept)
        self._used[work] = kept.text
        return kept.text

    def take_in(self, fetch: Fetch, response: Response) -> list[Work]:
        """Keep what came of a fetch. Returns the attempts that have waited for it."""
        if self._fetches.get(fetch.subscription_id) is fetch:
            del self._fetches[fetch.subscription_id]
        now = time.monotonic()
        try:
            token = read_token(response)
        except NoToken as error:
            kept = Kept(fetch.credentials, now + PAUSE_SECONDS, problem=str(error))
        else:
            kept = Kept(fetch.credentials, now + token.life_seconds, text=token.text)
        for key in [key for key, other in _KEPT.items() if other.ends_at <= now]:
            del _KEPT[key]
        _KEPT[fetch.subscription_id] = kept
        return fetch.waiting

    def is_refused(self, work: Work, response: Response) -> bool:
        """Whether an attempt ended for its token's sake and is to be sent once more with another.

        Called with every answer to a delivery.
        """
        used = self._used.pop(work, None)
        if used is None:
            return False
        key = work.claim.subscription_id
        is_again = work in self._renewed
        self._renewed.discard(work)
        if response.status != UNAUTHORIZED:
            return False
        now = time.monotonic()
        kept = _KEPT.get(key)
        if kept is not None and kept.text == used:
            del _KEPT[key]
        if is_again:
            self._believed_until[key] = now + BELIEVED_SECONDS
        if is_again or now < self._believed_until.get(key, 0.0):
            return False
        self._renewed.add(work)
        return True

    def drain(self) -> list[Work]:
        """Take out every attempt that waits. The fetches go on."""
        works = [work for fetch in self._fetches.values() for work in fetch.waiting]
        for fetch in self._fetches.values():
            fetch.waiting.clear()
        self._renewed.difference_update(works)
        return works

    def _wait(self, work: Work, key: UUID, credentials: ClientCredentials) -> Response | None:
        fetch = self._fetches.get(key)
        if fetch is None or fetch.credentials != credentials:
            fetch = self._fetches[key] = Fetch(key, credentials)
            failed = self._outbound.start(credentials.token_request(), fetch)
            if failed is not None:
                self.take_in(fetch, failed)
                return _failure(_KEPT[key])
        fetch.waiting.append(work)
        return None


def _failure(kept: Kept) -> Response:
    return Response(failure=Failure.TOKEN_UNAVAILABLE, detail=kept.problem)
