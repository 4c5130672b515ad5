"""A client that costs the server's machine little: plain sockets, kept alive, from one thread.

A client library would spend more on a request than the server does.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

ANSWER_SECONDS: Final = 30  # a server silent for longer is broken
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What came of a load. `seconds` runs to the last answer; `waits` is that for each answer, in
    seconds."""

    statuses: Counter[int] = field(default_factory=Counter)
    waits: list[float] = field(default_factory=list)
    seconds: float = 0.0


def post(*, url: str, headers: dict[str, str], body: bytes) -> tuple[bytes, bytes]:
    """The bytes of a POST to `url`, as what goes before and after one header value of its own.

    The value, which each request may have another of, is that of the header named last.
    """
    host, _, path = url.removeprefix("http://").partition("/")
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    before = f"POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n{head}"
    return before.removesuffix("\r\n").encode(), b"\r\n\r\n" + body


def put_load(
    next_request: Callable[[], bytes], *, port: int, seconds: float, connections: int
) -> Load:
    """Keep every connection busy with one request after the other, and wait for the last answers.

    Raises RuntimeError where the server closes a connection or does not answer.
    """
    load = Load()
    selector = selectors.DefaultSelector()
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    for sock in sockets:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(sock, selectors.EVENT_READ, bytearray())
    sent_at: dict[object, float] = {}
    start = now = time.perf_counter()
    for sock in sockets:
        sent_at[sock] = time.perf_counter()
        sock.sendall(next_request())
    waiting = connections
    while waiting:
        ready = selector.select(ANSWER_SECONDS)
        if not ready:
            raise RuntimeError(f"no answer within {ANSWER_SECONDS} s")
        for key, _ in ready:
            status = _take_in(key.fileobj, key.data)  # type: ignore[arg-type]
            if status is None:
                continue
            now = time.perf_counter()
            load.statuses[status] += 1
            load.waits.append(now - sent_at[key.fileobj])
            if now - start < seconds:
                sent_at[key.fileobj] = now
                key.fileobj.sendall(next_request())  # type: ignore[union-attr]
            else:
                waiting -= 1
    load.seconds = now - start
    for sock in sockets:
        sock.close()
    selector.close()
    return load


def _take_in(sock: socket.socket, answer: bytearray) -> int | None:
    """Read what has come; the status once the answer is whole, and `answer` is then empty."""
    chunk = sock.recv(65536)
    if not chunk:
        raise RuntimeError("the server closed a connection")
    answer += chunk
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(answer, 0, end)
    if length is None:
        raise RuntimeError("an answer without a Content-Length")
    if len(answer) < end + 4 + int(length[1]):
        return None
    status = int(answer[9:12])
    answer.clear()
    return status
