"""Which hosts may be asked for where the operator's egress proxy leads out, and looks names up."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final
from urllib.parse import urlsplit

from webhooks_project.lib.outbound.exchange import Failure, Response
from webhooks_project.lib.ssrf import Policy, Problem, check_endpoint

NAMES_SECONDS: Final = 60  # how long a verdict about a host is believed
LOOKUPS_AT_ONCE: Final = 8


class Hosts:
    """Which hosts may be asked for through an egress proxy: judged beside the caller's thread."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="names")
        self._known: dict[str, tuple[float, Future[Problem | None]]] = {}

    def judge(self, url: str) -> Future[Problem | None]:
        """What is wrong with a URL's host by now, if anything; believed for a minute."""
        parts = urlsplit(url)
        now = time.monotonic()
        believed_until, verdict = self._known.get(parts.netloc, (0.0, None))
        if verdict is None or now >= believed_until:
            for netloc in [netloc for netloc, (until, _) in self._known.items() if now >= until]:
                del self._known[netloc]
            asked = f"{parts.scheme}://{parts.netloc}/"
            verdict = self._threads.submit(check_endpoint, asked, self._policy)
            self._known[parts.netloc] = (now + NAMES_SECONDS, verdict)
        return verdict

    def close(self) -> None:
        """End, without waiting for names that are being looked up."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def refused(problem: Problem | None) -> Response:
    if problem == Problem.HOST_NOT_FOUND:
        return Response(failure=Failure.DNS, detail="its name has no address")
    if problem == Problem.FORBIDDEN_ADDRESS:
        return Response(failure=Failure.FORBIDDEN_ADDRESS, detail="by our own resolver")
    return Response(failure=Failure.INVALID_URL, detail=str(problem))
