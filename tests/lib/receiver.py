"""Receivers on loopback that behave as a script says, byte by byte."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Arrived:
    """One request as it came."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Line:
    """One connection, as the script sees it."""

    socket: socket.socket
    receiver: Receiver
    _buffer: bytes = b""

    def read(self) -> Arrived | None:
        """The next request, whole; None where the other end hung up."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._fill():
                return None
        head, _, rest = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (item.partition(":") for item in lines)
        }
        self._buffer = rest
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            if not self._fill():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        arrived = Arrived(line, headers, body)
        self.receiver.arrived.append(arrived)
        return arrived

    def _fill(self) -> bool:
        chunk = self.socket.recv(65536)
        self._buffer += chunk
        return bool(chunk)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, data: bytes, *, every: float = 0.05) -> None:
        """One byte after the other, until the other end or the test is done."""
        for byte in data:
            self.send(bytes([byte]))
            if self.receiver.closing.wait(every):
                return

    def hang(self) -> None:
        """Say nothing until the test is done."""
        self.receiver.closing.wait(10)

    def reset(self) -> None:
        """End the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Script = Callable[[Line], None]


@dataclass
class Receiver:
    """Where it listens, and what has come."""

    port: int
    arrived: list[Arrived] = field(default_factory=list)
    connections: int = 0
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


def answer(data: bytes = OK, *, close: bool = False) -> Script:
    """Read requests and answer each with the same bytes."""

    def script(line: Line) -> None:
        while line.read():
            line.send(data)
            if close:
                return

    return script


def status(code: int, *headers: str) -> bytes:
    """A whole answer without a body."""
    lines = [f"HTTP/1.1 {code} Status", "Content-Length: 0", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def receiver(script: Script, *, context: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """Listen on loopback; the script runs in a thread for each connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    here = Receiver(listener.getsockname()[1])
    open_sockets: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
                open_sockets.append(connection)
            script(Line(connection, here))
        with suppress(OSError):
            connection.close()

    def listen() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            here.connections += 1
            open_sockets.append(connection)
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    threads: list[threading.Thread] = [threading.Thread(target=listen, daemon=True)]
    threads[0].start()
    try:
        yield here
    finally:
        here.closing.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in open_sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in threads:
            thread.join(5)
