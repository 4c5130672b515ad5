"""A receiver of deliveries that notes to the moment when each of them arrives."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Arrivals:
    """When each `webhook-id` arrived, in Unix seconds at the first byte of each request."""

    def __init__(self) -> None:
        self.url = ""
        self.refuse_firsts = False  # answer the first request of each id with a 500
        self._moments: defaultdict[str, list[float]] = defaultdict(list)
        self._changed = threading.Condition()

    def note(self, webhook_id: str, moment: float) -> int:
        """Keep the moment. Returns how many there are of this id."""
        with self._changed:
            self._moments[webhook_id].append(moment)
            self._changed.notify_all()
            return len(self._moments[webhook_id])

    def wait_for(self, webhook_id: str, *, count: int = 1, seconds: float = 30) -> float:
        """The moment of the id's arrival number `count`. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(
                lambda: len(self._moments[webhook_id]) >= count, timeout=seconds
            ):
                raise TimeoutError(
                    f"arrival {count} of {webhook_id} is not there after {seconds} s"
                )
            return self._moments[webhook_id][count - 1]


@contextmanager
def running_receiver() -> Iterator[Arrivals]:
    """A receiver on a port of its own."""
    arrivals = Arrivals()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def parse_request(self) -> bool:
            # Called once the request line is there, which comes in the same packet as the rest.
            self.arrived_at = time.time()
            return super().parse_request()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            number = arrivals.note(self.headers["webhook-id"], self.arrived_at)
            self.send_response_only(500 if arrivals.refuse_firsts and number == 1 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    arrivals.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield arrivals
    finally:
        server.shutdown()
        server.server_close()
