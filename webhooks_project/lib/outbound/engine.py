"""Many transfers driven by one thread."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

import pycurl

from webhooks_project.lib.outbound.exchange import Failure, Identity, Request, Response
from webhooks_project.lib.outbound.hosts import Hosts, refused
from webhooks_project.lib.outbound.kept import Kept, origin_of
from webhooks_project.lib.outbound.transfer import Settings, Transfer
from webhooks_project.lib.ssrf import Policy, Problem

LOOK_SECONDS: Final = 0.01  # how often verdicts about hosts are looked for


@dataclass(slots=True, eq=False)
class _Unjudged:
    """A request that waits for a word about its host, until its deadline."""

    request: Request
    token: Any
    verdict: Future[Problem | None]
    ends_at: float
    room: Transfer


class Outbound:
    """Many requests in flight from one thread.

    `start` begins a request under a token of the caller's; `wait` drives all transfers and gives
    back those that ended. With `reads_certificates`, which costs time at each TLS handshake, a
    response on a new connection says when the server's certificate ends. One that `only_connects`
    ends each request once the connection stands, and sends nothing over it: see
    `Response.shook_hands`. Not safe for use by several threads.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        max_in_flight: int = 64,
        user_agent: str,
        reads_certificates: bool = False,
        only_connects: bool = False,
    ) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_in_flight * 2)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max_in_flight * 2)
        self._settings = Settings(policy, user_agent, reads_certificates, only_connects)
        self._idle = [Transfer(self._settings) for _ in range(max_in_flight)]
        self._busy: dict[pycurl.Curl, Transfer] = {}
        self._begun: list[Transfer] = []  # of those, since all were driven last
        self._kept = Kept()
        # Whose handle was made for one identity, with the plain one whose room it takes meanwhile.
        self._stand_ins: dict[Transfer, Transfer] = {}
        self._hosts = Hosts(policy) if policy.egress_proxy else None
        # Those whose host is not judged yet.
        self._judged_later: list[_Unjudged] = []

    @property
    def free(self) -> int:
        """How many more requests can be started now."""
        return len(self._idle)

    @property
    def in_flight(self) -> int:
        return len(self._busy) + len(self._judged_later)

    def start(self, request: Request, token: Any) -> Response | None:
        """Begin a request. Returns a Response at once only where it cannot even be begun."""
        if self._hosts is not None:
            verdict = self._hosts.judge(request.url)
            if not verdict.done():
                ends_at = time.monotonic() + request.timeout_seconds
                room = self._idle.pop()
                self._judged_later.append(_Unjudged(request, token, verdict, ends_at, room))
                return None
            if verdict.result() is not None:
                return refused(verdict.result())
        return self._begin(request, token)

    def _begin(self, request: Request, token: Any) -> Response | None:
        transfer = self._idle.pop()
        if request.identity is not None:
            transfer = self._stand_in(transfer, request.identity)
        try:
            self._multi.add_handle(transfer.begin(request, token))
        except (pycurl.error, UnicodeError) as error:
            self._make_idle(transfer)
            return Response(failure=Failure.INVALID_URL, detail=str(error)[:200])
        self._busy[transfer.handle] = transfer
        self._begun.append(transfer)
        return None

    def wait(self, seconds: float) -> list[tuple[Any, Response]]:
        """Drive all transfers for up to `seconds`, returning as soon as any has ended."""
        multi = self._multi
        refused = self._begin_judged() if self._judged_later else []
        if self._judged_later:
            seconds = min(seconds, LOOK_SECONDS)
        if self._begun:
            self._look_at_kept()
        multi.perform()
        ended = [*refused, *self._collect()]
        if not ended and seconds > 0:
            if not self._busy:
                time.sleep(seconds if self._judged_later else 0)
                return ended
            multi.select(seconds)
            multi.perform()
            ended = self._collect()
        return ended

    def _look_at_kept(self) -> None:
        """Have what has begun go over no connection that is not silent, right before it is sent."""
        not_silent = self._kept.not_silent(lambda: {one.descriptor for one in self._busy.values()})
        if not_silent:
            for transfer in self._begun:
                if transfer.request and origin_of(transfer.request.url) in not_silent:
                    transfer.use_new_connection()
        self._begun.clear()

    def _begin_judged(self) -> list[tuple[Any, Response]]:
        """Begin those whose host may be asked for. Returns those that ended instead."""
        ended: list[tuple[Any, Response]] = []
        left: list[_Unjudged] = []
        for one in self._judged_later:
            response: Response | None = None
            if one.verdict.done():
                self._idle.append(one.room)
                problem = one.verdict.result()
                response = refused(problem) if problem else self._begin(one.request, one.token)
            elif time.monotonic() >= one.ends_at:
                self._idle.append(one.room)
                milliseconds = one.request.timeout_seconds * 1000
                detail = "its name was not looked up in time"
                response = Response(
                    failure=Failure.TIMEOUT_CONNECT, detail=detail, total_ms=milliseconds
                )
            else:
                left.append(one)
            if response is not None:
                ended.append((one.token, response))
        self._judged_later = left
        return ended

    def cancel_all(self) -> list[tuple[Any, Response]]:
        """Give up on everything in flight; each comes back as cancelled."""
        ended = []
        for one in self._judged_later:
            self._idle.append(one.room)
            ended.append((one.token, Response(failure=Failure.CANCELLED)))
        self._judged_later.clear()
        self._begun.clear()
        for handle, transfer in list(self._busy.items()):
            self._multi.remove_handle(handle)
            ended.append((transfer.token, Response(failure=Failure.CANCELLED)))
            self._release(transfer)
        return ended

    def close(self) -> None:
        """Drop every connection. In-flight requests are abandoned."""
        self.cancel_all()
        for transfer in self._idle:
            transfer.handle.close()
        self._multi.close()
        self._kept.close()
        if self._hosts is not None:
            self._hosts.close()

    def _collect(self) -> list[tuple[Any, Response]]:
        ended: list[tuple[Any, Response]] = []
        while True:
            left, succeeded, failed = self._multi.info_read()
            ended.extend(self._end(handle, 0, "") for handle in succeeded)
            ended.extend(self._end(handle, errno, message) for handle, errno, message in failed)
            if not left:
                return ended

    def _end(self, handle: pycurl.Curl, errno: int, message: str) -> tuple[Any, Response]:
        transfer = self._busy[handle]
        response = transfer.finish(errno, message)
        if transfer.made_connection and transfer.request:
            self._kept.add(transfer.descriptor, transfer.request.url)
        token = transfer.token
        self._multi.remove_handle(handle)
        self._release(transfer)
        return token, response

    def _release(self, transfer: Transfer) -> None:
        del self._busy[transfer.handle]
        transfer.token = transfer.request = None
        self._make_idle(transfer)

    def _stand_in(self, plain: Transfer, identity: Identity) -> Transfer:
        """A handle for this one request: no handle with an identity is ever used for another."""
        transfer = Transfer(self._settings, identity)
        self._stand_ins[transfer] = plain
        return transfer

    def _make_idle(self, transfer: Transfer) -> None:
        plain = self._stand_ins.pop(transfer, None)
        if plain is not None:
            transfer.handle.close()
        self._idle.append(plain or transfer)
