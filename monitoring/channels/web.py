"""POSTs of JSON to the pinned hosts of chats and pagers.

The address of a chat's webhook is its secret, and the exceptions of the HTTP library hold it: none
of them leaves this module, and no text that does holds a part of the address.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from threading import Thread
from typing import Any, Final, TypeVar
from urllib.parse import unquote

import orjson
import requests
from django.conf import settings

from monitoring.channels.message import SendFailed
from webhooks_project.lib import clock

CONNECT_SECONDS: Final = 4.0
ANSWER_SECONDS: Final = 10.0  # for each part of the answer's beginning, then for all of the rest
EXCHANGE_SECONDS: Final = 24.0  # for the whole, from looking the name up to the answer's last byte
MAX_ANSWER_BYTES: Final = 2048  # more of it says nothing that helps
MAX_RETRY_AFTER_SECONDS: Final = 3600.0  # whoever asks for more is asked again in an hour
MAX_URL_LENGTH: Final = 2048
AWAY: Final = frozenset({502, 503, 504})
BUSY: Final = frozenset({408, 425, 429})

# Its debug lines hold the address.
logging.getLogger("urllib3.connectionpool").setLevel(logging.WARNING)

# As text, not parsed: two parsers may disagree about where a host ends.
_URL = re.compile(r"https://([A-Za-z0-9.-]+)(?::443)?(/[!-\[\]-~]*)")
Result = TypeVar("Result")

_IN_TIME: Final = "{} did not answer in time"
_PART_OF_SECRET = re.compile(r"[A-Za-z0-9_-]{8,}")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL on a host that is known."""

    host: str
    path: str


def address_of(url: str) -> Address | None:
    """The parts of an https URL on the usual port, without a user; None for any other."""
    found = _URL.fullmatch(url) if len(url) <= MAX_URL_LENGTH else None
    return Address(found[1].lower(), found[2]) if found else None


class WebConnection:
    """The connections of a turn: kept open from one message to the next, anew after an error."""

    def __init__(self) -> None:
        self._session: requests.Session | None = None

    def post(self, address: Address, body: Any, *, name: str, secrets: Sequence[str]) -> None:
        """POST it, and return where it was taken: 2xx. Raises SendFailed.

        `name` is what the other side is called in errors. No redirect is followed, nothing is taken
        from the environment; the whole takes at most EXCHANGE_SECONDS, however it drips.
        """
        hidden = _parts_of([*secrets, address.path])
        try:
            status, retry_after, text = _within(
                EXCHANGE_SECONDS, partial(self._post, address, body)
            )
        except TimeoutError:
            self.close()
            raise SendFailed("answer_timeout", _IN_TIME.format(name), is_away=True) from None
        except requests.RequestException as error:
            self.close()
            raise _unanswered(error, name) from None
        except Exception as error:  # what the library lets through
            self.close()
            problem = f"{name} could not be asked ({type(error).__name__})"
            raise SendFailed("not_sent", problem) from None
        if 200 <= status < 300:
            return
        raise _refused(status, retry_after, f"{name} answered {status} {_masked(text, hidden)}")

    def _post(self, address: Address, body: Any) -> tuple[int, float | None, str]:
        base = settings.WEBHOOKS_CHANNEL_RELAYS.get(address.host, f"https://{address.host}")
        if self._session is None:
            self._session = requests.Session()
            self._session.trust_env = False
            # One account's answers must leave nothing that goes out with another's message.
            self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        response = self._session.post(
            base.rstrip("/") + address.path,
            data=orjson.dumps(body),
            headers={
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
                "User-Agent": "webhooks-hub",
            },
            proxies=_proxies(),
            timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            allow_redirects=False,
            stream=True,
        )
        with response:
            is_taken = 200 <= response.status_code < 300
            text = "" if is_taken else _beginning(response)
            retry_after = _retry_after(response.headers.get("Retry-After", ""))
            return response.status_code, retry_after, text

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """What the work returns or raises. TimeoutError where it takes longer: it is left to itself.

    In a thread, since the library's timeouts are for one read each, and a look-up of a name has
    none. One that is left holds up neither its caller nor the end of the process.
    """
    ended: Future[Result] = Future()

    def run() -> None:
        try:
            ended.set_result(work())
        except BaseException as error:
            ended.set_exception(error)

    Thread(target=run, name="channel", daemon=True).start()
    return ended.result(seconds)


def _proxies() -> dict[str, str]:
    proxy = settings.WEBHOOKS_EGRESS_PROXY
    return {"http": proxy, "https": proxy} if proxy else {}


def _beginning(response: requests.Response) -> str:
    """The first bytes of an answer, as far as they come in time."""
    deadline = time.monotonic() + ANSWER_SECONDS
    found = b""
    with suppress(Exception):  # what came until then is all that is needed
        while len(found) < MAX_ANSWER_BYTES and time.monotonic() < deadline:
            # `read` would wait for all of them, however slowly they drip.
            part = response.raw.read1(MAX_ANSWER_BYTES - len(found))
            if not part:
                break
            found += part
    return found.decode("utf-8", "replace")


def _retry_after(value: str) -> float | None:
    """Seconds, of a number or a date (RFC 9110, 10.2.3)."""
    if value.isascii() and value.isdigit():
        seconds = float(value[:9])
    else:
        try:
            moment = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - clock.now()).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _unanswered(error: requests.RequestException, name: str) -> SendFailed:
    # By its kind alone: its text holds the address.
    if isinstance(error, requests.ConnectTimeout):
        return SendFailed("connect_timeout", f"{name} could not be reached in time", is_away=True)
    if isinstance(error, requests.Timeout):
        return SendFailed("answer_timeout", _IN_TIME.format(name), is_away=True)
    if isinstance(error, requests.exceptions.SSLError):
        return SendFailed("tls_failed", f"{name} could not prove who it is (TLS)", is_away=True)
    if isinstance(error, requests.ConnectionError):
        return SendFailed("not_reachable", f"{name} could not be reached", is_away=True)
    return SendFailed("not_sent", f"{name} could not be asked ({type(error).__name__})")


def _refused(status: int, retry_after: float | None, text: str) -> SendFailed:
    if 300 <= status < 400:
        return SendFailed("redirected", f"{text}: redirects are not followed", is_final=True)
    if status in BUSY:
        return SendFailed("rate_limited", text, retry_after=retry_after)
    if status >= 500:
        away = status in AWAY
        return SendFailed("server_error", text, is_away=away, retry_after=retry_after)
    return SendFailed("not_accepted", text, is_final=True)


def _parts_of(secrets: Sequence[str]) -> set[str]:
    """The words of secrets that an answer could repeat, alone or with the rest."""
    texts = {form for secret in secrets for form in (secret, unquote(secret)) if form}
    words = {word for text in texts for word in _PART_OF_SECRET.findall(text)}
    return {text for text in texts if len(text) >= 8} | words


def _masked(text: str, hidden: set[str]) -> str:
    for secret in sorted(hidden, key=len, reverse=True):
        text = text.replace(secret, "…")
    return " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())[:200]
