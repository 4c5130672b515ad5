"""HTTP to addresses that others choose: the only way out, for deliveries, tests and probes.

One thread drives many transfers through libcurl's multi interface. What a receiver can do to us is
bounded here: one deadline over everything from the name lookup to the last byte, no redirects, no
proxy from the environment, no decompression, 64 KiB of header and 64 KiB of body read at most, and
each socket address judged before it is connected. All transfers of one engine share its
connections, names, TLS sessions and certificate authorities, which are read once.

Where the operator's egress proxy leads out, our sockets go to that, and it looks names up: so each
host is judged before, by all addresses that our own resolver finds.

A response counts only once the blank line that ends its headers was seen: libcurl, like most
clients, reports an answer that was cut inside its header block by its status all the same.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import pycurl
from certifi import where as bundled_ca_file

from webhooks_project.lib.ssrf import Policy, Problem, check_endpoint, is_forbidden
from webhooks_project.lib.tls_checks import failed_check, is_refusal

SUPPRESS_CONNECT_HEADERS: Final = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS; pycurl has no name
STATUS_LINE: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})(?:[ \r\n]|$)")
MAX_HEADER_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 64 * 1024  # read at most; the connection is then closed
KEPT_BODY_BYTES: Final = 16 * 1024  # of what was read, kept for people to see
NAMES_SECONDS: Final = 60  # how long a verdict about a host is believed, where a proxy leads out
LOOKUPS_AT_ONCE: Final = 8
LOOK_SECONDS: Final = 0.01  # how often verdicts are looked for
CONNECT_TIMEOUT_SECONDS: Final = 10  # part of the whole deadline, never beyond it


class Failure(StrEnum):
    """Why there is no complete response head."""

    DNS = "dns"
    REFUSED = "refused"
    RESET = "reset"
    TLS = "tls"
    TIMEOUT_DNS = "timeout_dns"
    TIMEOUT_CONNECT = "timeout_connect"
    TIMEOUT_TLS = "timeout_tls"
    TIMEOUT_RESPONSE = "timeout_response"
    FORBIDDEN_ADDRESS = "forbidden_address"
    TOO_LARGE = "too_large"
    BAD_RESPONSE = "bad_response"
    INVALID_URL = "invalid_url"
    CANCELLED = "cancelled"
    UNSIGNABLE = "unsignable"
    TRANSFORMATION = "transformation"
    CREDENTIALS_UNREADABLE = "credentials_unreadable"
    TOKEN_UNAVAILABLE = "token_unavailable"  # noqa: S105 - a cause, not a secret


@dataclass(frozen=True, slots=True)
class Identity:
    """What TLS shows to the other side, and whom it trusts there: PEM texts, empty for none.

    Connections are shared by requests of one identity only. Its own `authorities` stand in place
    of those that everybody trusts.
    """

    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    authorities: bytes = b""


@dataclass(frozen=True, slots=True)
class Request:
    """One POST, or a HEAD without a body. `headers` are whole lines, `name: value`."""

    url: str
    headers: list[str] = field(repr=False)
    body: bytes = field(repr=False)
    timeout_seconds: float
    identity: Identity | None = None
    is_head: bool = False


@dataclass(slots=True)
class Response:
    """What came of a request. `status` is None unless the response head was complete.

    `failure` is None exactly when `status` is not. Durations are milliseconds since the start;
    None where that phase was not reached. `body` is the first 16 KiB.
    """

    status: int | None = None
    failure: Failure | None = None
    detail: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    body_bytes: int = 0
    dns_ms: float | None = None
    connect_ms: float | None = None
    tls_ms: float | None = None
    first_byte_ms: float | None = None
    total_ms: float = 0.0
    address: str = ""
    protocol: str = ""
    certificate_expires_at: datetime | None = None  # where the engine reads certificates


_TLS_ERRORS = frozenset(
    {
        pycurl.E_SSL_CONNECT_ERROR,
        pycurl.E_PEER_FAILED_VERIFICATION,
        pycurl.E_SSL_CERTPROBLEM,
        pycurl.E_SSL_CIPHER,
        pycurl.E_SSL_CACERT_BADFILE,
        pycurl.E_SSL_ISSUER_ERROR,
        pycurl.E_SSL_INVALIDCERTSTATUS,
    }
)
_FAILURES = {
    pycurl.E_COULDNT_RESOLVE_HOST: Failure.DNS,
    pycurl.E_COULDNT_CONNECT: Failure.REFUSED,
    pycurl.E_COULDNT_RESOLVE_PROXY: Failure.REFUSED,
    97: Failure.REFUSED,  # CURLE_PROXY: its handshake failed
    pycurl.E_RECV_ERROR: Failure.RESET,
    pycurl.E_SEND_ERROR: Failure.RESET,
    pycurl.E_GOT_NOTHING: Failure.RESET,
    pycurl.E_UNSUPPORTED_PROTOCOL: Failure.INVALID_URL,
    pycurl.E_URL_MALFORMAT: Failure.INVALID_URL,
    100: Failure.TOO_LARGE,  # CURLE_TOO_LARGE: libcurl's own bounds on a head; pycurl has no name
}
_PROTOCOLS = {
    pycurl.CURL_HTTP_VERSION_1_0: "HTTP/1.0",
    pycurl.CURL_HTTP_VERSION_1_1: "HTTP/1.1",
    pycurl.CURL_HTTP_VERSION_2_0: "HTTP/2",
}


class _Handed:
    """A socket on its way to libcurl, which keeps a copy of the descriptor; ours ends here."""

    def __init__(self, opened: socket.socket) -> None:
        self._descriptor = opened.detach()

    def fileno(self) -> int:
        return self._descriptor

    def __del__(self) -> None:
        os.close(self._descriptor)


class _Transfer:
    """One reusable libcurl handle and what it has received so far."""

    def __init__(
        self,
        policy: Policy,
        user_agent: str,
        reads_certificates: bool,
        identity: Identity | None = None,
    ) -> None:
        self._policy = policy
        self._reads_certificates = reads_certificates
        self.token: Any = None
        self.request: Request | None = None
        self.handle = handle = pycurl.Curl()
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.NOSIGNAL, 1)
        if reads_certificates:
            handle.setopt(pycurl.OPT_CERTINFO, 1)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        # Set in any case: libcurl would take them from the environment.
        handle.setopt(pycurl.PROXY, policy.egress_proxy)
        handle.setopt(pycurl.NOPROXY, "")
        # The head of the proxy's own answer to CONNECT is no answer of the receiver's.
        handle.setopt(SUPPRESS_CONNECT_HEADERS, 1)
        handle.setopt(pycurl.USERAGENT, user_agent)
        handle.setopt(pycurl.CAINFO, os.environ.get("SSL_CERT_FILE") or bundled_ca_file())
        handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        handle.setopt(pycurl.WRITEFUNCTION, self._on_body)
        # A list's own append is the quickest callback there is; libcurl itself ends a head of more
        # than 300 KiB, and what is above our bound is judged at the end.
        self._lines: list[bytes] = []
        handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self._was_head = False
        self._set_for = ("", 0)  # the URL and the deadline that the handle has now
        if identity is not None:
            self._take_on(identity)

    def _take_on(self, identity: Identity) -> None:
        """Use this identity. libcurl lends a connection only to a handle that is set up alike."""
        handle = self.handle
        if identity.certificate:
            handle.setopt(pycurl.SSLCERT_BLOB, identity.certificate)
            handle.setopt(pycurl.SSLKEY_BLOB, identity.key)
        if identity.authorities:
            handle.setopt(pycurl.CAINFO_BLOB, identity.authorities)
            handle.unsetopt(pycurl.CAPATH)
        # A resumed session skips the proof of who is who, so none is kept for others to resume.
        handle.setopt(pycurl.SSL_SESSIONID_CACHE, 0)

    def begin(self, request: Request, token: Any) -> pycurl.Curl:
        self.token = token
        self.request = request
        self._lines.clear()
        self._chunks: list[bytes] = []
        self._kept_bytes = 0
        self._body_bytes = 0
        self._forbidden = ""
        handle = self.handle
        timeout_ms = int(request.timeout_seconds * 1000)
        if (request.url, timeout_ms) != self._set_for:
            handle.setopt(pycurl.URL, request.url)
            handle.setopt(pycurl.TIMEOUT_MS, timeout_ms)
            handle.setopt(pycurl.CONNECTTIMEOUT_MS, min(timeout_ms, CONNECT_TIMEOUT_SECONDS * 1000))
            self._set_for = (request.url, timeout_ms)
        handle.setopt(pycurl.HTTPHEADER, request.headers)
        if request.is_head:
            handle.setopt(pycurl.NOBODY, 1)
        else:
            if self._was_head:
                handle.setopt(pycurl.NOBODY, 0)
                handle.setopt(pycurl.POST, 1)
            handle.setopt(pycurl.POSTFIELDS, request.body)
        self._was_head = request.is_head
        return handle

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        family, kind, protocol, target = address
        is_ip = family in (socket.AF_INET, socket.AF_INET6)
        if not is_ip or (not self._policy.egress_proxy and self._is_forbidden(target)):
            self._forbidden = str(target[0]) if isinstance(target, tuple) else "not an IP address"
            return pycurl.SOCKET_BAD
        return _Handed(socket.socket(family, kind, protocol))

    def _is_forbidden(self, target: Any) -> bool:
        return is_forbidden(str(target[0]), allowed_networks=self._policy.allowed_networks)

    def _head(self) -> list[bytes] | None:
        """The lines of the final response's head; None unless the blank line that ends it came.

        A 1xx block before it and trailers after it are left out.
        """
        lines = self._lines
        start = 0
        for index, line in enumerate(lines):
            if line in (b"\r\n", b"\n"):
                code = _code_of(lines[start])
                if code is None:
                    return None
                if code >= 200:
                    return lines[start + 1 : index]
                start = index + 1
        return None

    def _on_body(self, chunk: bytes) -> int | None:
        self._body_bytes += len(chunk)
        if self._kept_bytes < KEPT_BODY_BYTES:
            kept = chunk[: KEPT_BODY_BYTES - self._kept_bytes]
            self._kept_bytes += len(kept)
            self._chunks.append(kept)
        return None if self._body_bytes <= MAX_BODY_BYTES else -1

    def finish(self, errno: int, message: str) -> Response:
        """The outcome, read off the handle; `errno` is 0 where libcurl saw no error."""
        handle = self.handle
        getinfo = handle.getinfo
        response = Response(
            body=b"".join(self._chunks),
            body_bytes=self._body_bytes,
            dns_ms=_ms(getinfo(pycurl.NAMELOOKUP_TIME)),
            connect_ms=_ms(getinfo(pycurl.CONNECT_TIME)),
            tls_ms=_ms(getinfo(pycurl.APPCONNECT_TIME)),
            first_byte_ms=_ms(getinfo(pycurl.STARTTRANSFER_TIME)),
            total_ms=getinfo(pycurl.TOTAL_TIME) * 1000,
            address=getinfo(pycurl.PRIMARY_IP) or "",
            protocol=_PROTOCOLS.get(getinfo(pycurl.INFO_HTTP_VERSION), ""),
        )
        if self._reads_certificates:
            response.certificate_expires_at = _certificate_end(handle)
        status = getinfo(pycurl.RESPONSE_CODE)
        too_large = sum(map(len, self._lines)) > MAX_HEADER_BYTES
        head = self._head()
        if head is not None and status >= 200 and not too_large:
            response.status = status
            response.headers = _parse_headers(head)
            return response
        if too_large:
            response.failure = Failure.TOO_LARGE
            response.detail = f"more than {MAX_HEADER_BYTES} bytes of headers"
            return response
        response.failure = self._failure(errno, message, response)
        response.detail = self._forbidden or message or "the response head was cut short"
        if response.failure is Failure.TLS:
            check = failed_check(getinfo(pycurl.SSL_VERIFYRESULT), message)
            response.detail = f"{check}: {message}"
        return response

    def _failure(self, errno: int, message: str, response: Response) -> Failure:
        if self._forbidden and response.connect_ms is None:
            return Failure.FORBIDDEN_ADDRESS
        if errno in _TLS_ERRORS or is_refusal(message):
            return Failure.TLS
        if self._policy.egress_proxy and self.handle.getinfo(pycurl.HTTP_CONNECTCODE) >= 300:
            return Failure.REFUSED
        sent = self.handle.getinfo(pycurl.REQUEST_SIZE) > 0
        if errno == pycurl.E_OPERATION_TIMEDOUT:
            if sent:  # on a connection used before there are no other times to go by
                return Failure.TIMEOUT_RESPONSE
            if response.dns_ms is None:
                return Failure.TIMEOUT_DNS
            if response.connect_ms is None:
                return Failure.TIMEOUT_CONNECT
            secure = self.request is not None and self.request.url.startswith("https:")
            if secure and response.tls_ms is None:
                return Failure.TIMEOUT_TLS
            return Failure.TIMEOUT_RESPONSE
        if errno == pycurl.E_UNSUPPORTED_PROTOCOL and sent:
            return Failure.BAD_RESPONSE  # what came is no HTTP/1 or 2
        return _FAILURES.get(errno, Failure.BAD_RESPONSE)


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


@dataclass(slots=True, eq=False)
class _Unjudged:
    """A request that waits for a word about its host, until its deadline."""

    request: Request
    token: Any
    verdict: Future[Problem | None]
    ends_at: float
    room: _Transfer


def _refused(problem: Problem | None) -> Response:
    if problem == Problem.HOST_NOT_FOUND:
        return Response(failure=Failure.DNS, detail="its name has no address")
    if problem == Problem.FORBIDDEN_ADDRESS:
        return Response(failure=Failure.FORBIDDEN_ADDRESS, detail="by our own resolver")
    return Response(failure=Failure.INVALID_URL, detail=str(problem))


class Outbound:
    """Many requests in flight from one thread.

    `start` begins a request under a token of the caller's; `wait` drives all transfers and gives
    back those that ended. With `reads_certificates`, which costs time at each TLS handshake, a
    response on a new connection says when the server's certificate ends. Not safe for use by
    several threads.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        max_in_flight: int = 64,
        user_agent: str,
        reads_certificates: bool = False,
    ) -> None:
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, max_in_flight * 2)
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max_in_flight * 2)
        self._policy = policy
        self._user_agent = user_agent
        self._reads_certificates = reads_certificates
        self._idle = [
            _Transfer(policy, user_agent, reads_certificates) for _ in range(max_in_flight)
        ]
        self._busy: dict[pycurl.Curl, _Transfer] = {}
        # Whose handle was made for one identity, with the plain one whose room it takes meanwhile.
        self._stand_ins: dict[_Transfer, _Transfer] = {}
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
                return _refused(verdict.result())
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
        return None

    def wait(self, seconds: float) -> list[tuple[Any, Response]]:
        """Drive all transfers for up to `seconds`, returning as soon as any has ended."""
        multi = self._multi
        refused = self._begin_judged() if self._judged_later else []
        if self._judged_later:
            seconds = min(seconds, LOOK_SECONDS)
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

    def _begin_judged(self) -> list[tuple[Any, Response]]:
        """Begin those whose host may be asked for. Returns those that ended instead."""
        ended: list[tuple[Any, Response]] = []
        left: list[_Unjudged] = []
        for one in self._judged_later:
            response: Response | None = None
            if one.verdict.done():
                self._idle.append(one.room)
                problem = one.verdict.result()
                response = _refused(problem) if problem else self._begin(one.request, one.token)
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
        if self._hosts is not None:
            self._hosts.close()

    def _collect(self) -> list[tuple[Any, Response]]:
        ended: list[tuple[Any, Response]] = []
        while True:
            left, succeeded, failed = self._multi.info_read()
            ended.extend(self._end(handle, 0, "") for handle in succeeded)
            ended.extend(self._end(*one) for one in failed)
            if not left:
                return ended

    def _end(self, handle: pycurl.Curl, errno: int, message: str) -> tuple[Any, Response]:
        transfer = self._busy[handle]
        response = transfer.finish(errno, message)
        token = transfer.token
        self._multi.remove_handle(handle)
        self._release(transfer)
        return token, response

    def _release(self, transfer: _Transfer) -> None:
        del self._busy[transfer.handle]
        transfer.token = transfer.request = None
        self._make_idle(transfer)

    def _stand_in(self, plain: _Transfer, identity: Identity) -> _Transfer:
        """A handle for this one request: no handle with an identity is ever used for another."""
        transfer = _Transfer(self._policy, self._user_agent, self._reads_certificates, identity)
        self._stand_ins[transfer] = plain
        return transfer

    def _make_idle(self, transfer: _Transfer) -> None:
        plain = self._stand_ins.pop(transfer, None)
        if plain is not None:
            transfer.handle.close()
        self._idle.append(plain or transfer)


def _certificate_end(handle: pycurl.Curl) -> datetime | None:
    """When the server's own certificate ends, the first of its chain."""
    chain = handle.getinfo(pycurl.INFO_CERTINFO)
    text = dict(chain[0]).get("Expire date", "") if chain else ""
    try:
        return datetime.strptime(text, "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
    except ValueError:
        return None


def _ms(seconds: float) -> float | None:
    return seconds * 1000 if seconds else None


def _parse_headers(lines: Sequence[bytes]) -> dict[str, str]:
    """Header lines as a mapping with lower-case names; a repeated name is joined by a comma."""
    headers: dict[str, str] = {}
    for line in lines:
        name, value = _parse_header(line)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    headers.pop("", None)
    return headers


@lru_cache(maxsize=256)
def _code_of(line: bytes) -> int | None:
    """The status code of a status line; libcurl would read 200 from one that says 2000."""
    found = STATUS_LINE.match(line)
    return int(found[1]) if found else None


@lru_cache(maxsize=1024)  # receivers send the same few lines with every answer
def _parse_header(line: bytes) -> tuple[str, str]:
    name, separator, value = line.decode("latin-1").partition(":")
    return (name.strip().lower(), value.strip()) if separator else ("", "")
