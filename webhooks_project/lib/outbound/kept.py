"""Connections kept for the next request, and those of them that are no longer silent."""

from __future__ import annotations

import select
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

Origin = tuple[str, str | None, int | None]

DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class Kept:
    """The sockets of HTTP/1 connections that have carried a request.

    libcurl looks at a kept connection once a second only. Until then what came over it unasked
    would be read as the answer to the next request, and of many that the other side has closed
    together it tries five, one after the other, and gives up. HTTP/2 says things unasked, and
    libcurl knows what.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()  # which forgets a socket when it is closed
        self._origins: dict[int, Origin] = {}

    def add(self, descriptor: int, url: str) -> None:
        """A request to this URL has ended over a connection that was made for it; -1 where that is
        closed again."""
        if descriptor >= 0:
            with suppress(FileExistsError):
                self._poll.register(descriptor, select.EPOLLIN)
            self._origins[descriptor] = origin_of(url)

    def not_silent(self, in_use: Callable[[], Collection[int]]) -> set[Origin]:
        """To whom there are connections not in use that have bytes to be read, or are closed."""
        ready = [descriptor for descriptor, _ in self._poll.poll(0)]
        if not ready:
            return set()
        used = in_use()
        return {self._origins[one] for one in ready if one not in used and one in self._origins}

    def close(self) -> None:
        self._poll.close()


def origin_of(url: str) -> Origin:
    """Scheme, host and port, said or not: no connection of HTTP/1 serves two of them.

    Of a URL that makes no sense, which libcurl refuses, nothing: it has no connection.
    """
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return "", None, None
