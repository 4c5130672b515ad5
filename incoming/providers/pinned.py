"""Certificates and keys that a third party publishes, fetched from its pinned hosts only.

Some calls name the place of the key that signed them: whoever follows such an address blindly can
be sent anywhere. So an address must match the provider's own pattern whole, no redirect is
followed, nothing is taken from the environment, and time, size and number are bounded. Answers are
kept in this process for an hour, failures for a minute.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import requests

TIMEOUT_SECONDS: Final = 5  # for the whole answer; the third party waits for ours meanwhile
MAX_BYTES: Final = 64 * 1024
KEEP_SECONDS: Final = 3600  # a key withdrawn by the third party is trusted for so long
KEEP_FAILURE_SECONDS: Final = 60
MAX_KEPT: Final = 256  # answers; the oldest is dropped
MAX_FETCHES_PER_MINUTE: Final = 30  # more is somebody making us call, not a third party's keys

_offline: ContextVar[bool] = ContextVar("offline", default=False)
_kept: OrderedDict[str, tuple[float, bytes | None]] = OrderedDict()
_fetched_at: deque[float] = deque(maxlen=MAX_FETCHES_PER_MINUTE)
_lock = threading.Lock()


def is_pinned(url: object, host: str) -> bool:
    """Whether a URL is https, on a host that the pattern matches whole, on the usual port.

    The URL is matched as text, not parsed: two parsers may disagree about where a host ends.
    """
    if not isinstance(url, str) or len(url) > 2048:
        return False
    return re.fullmatch(rf"https://(?:{host})/[!-\[\]-~]*", url, re.ASCII) is not None


def fetch(
    url: str,
    *,
    host: str,
    json: Any = None,
    headers: Mapping[str, str] | None = None,
    kept_as: str = "",
) -> bytes | None:
    """The body of a 200 answer, maybe empty; None: not pinned, not reachable, too large, too often.

    A GET, or a POST where there is `json`. `kept_as` is the name it is kept under, by default the
    URL; it must name everything that the answer depends on. Never raises.
    """
    if not is_pinned(url, host):
        return None
    name = kept_as or url
    now = time.monotonic()
    with _lock:
        kept = _kept.get(name)
        if kept and kept[0] > now:
            return kept[1]
        if _offline.get():
            return b""
        if not _may_fetch(now):
            return None
        _fetched_at.append(now)
    body = _request(url, json, headers)
    with _lock:
        _kept[name] = (now + (KEEP_FAILURE_SECONDS if body is None else KEEP_SECONDS), body)
        _kept.move_to_end(name)
        while len(_kept) > MAX_KEPT:
            _kept.popitem(last=False)
    return body


@contextmanager
def offline() -> Iterator[None]:
    """Within this block nothing is fetched: a pinned address that is not kept answers empty."""
    token = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(token)


def forget() -> None:
    """Drop what is kept, for tests."""
    with _lock:
        _kept.clear()
        _fetched_at.clear()


def _may_fetch(now: float) -> bool:
    return len(_fetched_at) < MAX_FETCHES_PER_MINUTE or now - _fetched_at[0] > 60


def _request(url: str, json: Any, headers: Mapping[str, str] | None) -> bytes | None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    try:
        with requests.Session() as session:
            session.trust_env = False
            response = session.request(
                "GET" if json is None else "POST",
                url,
                json=json,
                headers={"Accept-Encoding": "identity", **(headers or {})},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
                stream=True,
            )
            with response:
                return _read(response, deadline) if response.status_code == 200 else None
    except (requests.RequestException, OSError, ValueError):
        return None


def _read(response: requests.Response, deadline: float) -> bytes | None:
    body = bytearray()
    for chunk in response.iter_content(8192):
        body += chunk
        if len(body) > MAX_BYTES or time.monotonic() > deadline:
            return None
    return bytes(body)
