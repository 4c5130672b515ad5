"""One request through libcurl: its options, its bounds, and the outcome read off the handle."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import pycurl
from certifi import where as bundled_ca_file

from webhooks_project.lib.outbound.exchange import Failure, Identity, Request, Response
from webhooks_project.lib.ssrf import Policy, is_forbidden
from webhooks_project.lib.tls_checks import failed_check, is_refusal

SUPPRESS_CONNECT_HEADERS: Final = 265  # CURLOPT_SUPPRESS_CONNECT_HEADERS; pycurl has no name
STATUS_LINE: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})(?:[ \r\n]|$)")
MAX_HEADER_BYTES: Final = 64 * 1024
KNOWN_HEAD_BYTES: Final = 1024  # a head of at most so many is read once for all that are alike
KNOWN_HEADS: Final = 256
MAX_BODY_BYTES: Final = 64 * 1024  # read at most; the connection is then closed
KEPT_BODY_BYTES: Final = 16 * 1024  # of what was read, kept for people to see
CONNECT_TIMEOUT_SECONDS: Final = 10  # part of the whole deadline, never beyond it

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


@dataclass(frozen=True, slots=True)
class Settings:
    """What all transfers of an engine have in common."""

    policy: Policy
    user_agent: str
    reads_certificates: bool = False
    only_connects: bool = False


class Transfer:
    """One reusable libcurl handle and what it has received so far."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity | None = None,
    ) -> None:
        self._policy = policy = settings.policy
        self._reads_certificates = settings.reads_certificates
        self.token: Any = None
        self.request: Request | None = None
        self.handle = handle = pycurl.Curl()
        handle.setopt(pycurl.POST, 1)
        handle.setopt(pycurl.NOSIGNAL, 1)
        if settings.reads_certificates:
            handle.setopt(pycurl.OPT_CERTINFO, 1)
        if settings.only_connects:
            handle.setopt(pycurl.CONNECT_ONLY, 1)
        handle.setopt(pycurl.FOLLOWLOCATION, 0)
        handle.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        # Set in any case: libcurl would take them from the environment.
        handle.setopt(pycurl.PROXY, policy.egress_proxy)
        handle.setopt(pycurl.NOPROXY, "")
        # The head of the proxy's own answer to CONNECT is no answer of the receiver's.
        handle.setopt(SUPPRESS_CONNECT_HEADERS, 1)
        handle.setopt(pycurl.USERAGENT, settings.user_agent)
        handle.setopt(pycurl.CAINFO, os.environ.get("SSL_CERT_FILE") or bundled_ca_file())
        handle.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        handle.setopt(pycurl.WRITEFUNCTION, self._on_body)
        # A list's own append is the quickest callback there is; libcurl itself ends a head of more
        # than 300 KiB, and what is above our bound is judged at the end.
        self._lines: list[bytes] = []
        handle.setopt(pycurl.HEADERFUNCTION, self._lines.append)
        self._was_head = self._is_apart = False
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

    def use_new_connection(self) -> None:
        """For this one request, which has begun and is not sent yet."""
        self._is_apart = True
        self.handle.setopt(pycurl.FRESH_CONNECT, 1)

    @property
    def descriptor(self) -> int:
        """Of the socket that the request goes over; -1 where it has none."""
        return int(self.handle.getinfo(pycurl.ACTIVESOCKET))

    @property
    def made_connection(self) -> bool:
        """Whether one was made for the request, which has ended, that others of HTTP/1 may use."""
        getinfo = self.handle.getinfo
        if not getinfo(pycurl.NUM_CONNECTS):
            return False
        return bool(getinfo(pycurl.INFO_HTTP_VERSION) != pycurl.CURL_HTTP_VERSION_2_0)

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        family, kind, protocol, target = address
        is_ip = family in (socket.AF_INET, socket.AF_INET6)
        if not is_ip or (not self._policy.egress_proxy and self._is_forbidden(target)):
            self._forbidden = str(target[0]) if isinstance(target, tuple) else "not an IP address"
            return pycurl.SOCKET_BAD
        return _Handed(socket.socket(family, kind, protocol))

    def _is_forbidden(self, target: Any) -> bool:
        return is_forbidden(str(target[0]), allowed_networks=self._policy.allowed_networks)

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
        if self._is_apart:
            self._is_apart = False
            handle.setopt(pycurl.FRESH_CONNECT, 0)
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
        size = sum(map(len, self._lines))
        too_large = size > MAX_HEADER_BYTES
        headers: Mapping[str, str] | None = None
        if not too_large:
            headers = (known_head if size <= KNOWN_HEAD_BYTES else parse_head)(tuple(self._lines))
        if headers is not None and status >= 200:
            response.status = status
            response.headers = headers
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
            secure = self.request is not None and self.request.url.lower().startswith("https:")
            if secure and response.tls_ms is None:
                return Failure.TIMEOUT_TLS
            return Failure.TIMEOUT_RESPONSE
        if errno == pycurl.E_UNSUPPORTED_PROTOCOL and sent:
            return Failure.BAD_RESPONSE  # what came is no HTTP/1 or 2
        return _FAILURES.get(errno, Failure.BAD_RESPONSE)


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


def parse_head(lines: Sequence[bytes]) -> Mapping[str, str] | None:
    """The headers of the final response, by lower-case names, a repeated one joined by a comma.

    A 1xx block before it and trailers after it are left out. None unless the blank line that ends
    the head came.
    """
    start = 0
    for index, line in enumerate(lines):
        if line in (b"\r\n", b"\n"):
            found = STATUS_LINE.match(lines[start])
            if found is None:  # libcurl would read 200 from one that says 2000
                return None
            if int(found[1]) >= 200:
                return _parse_headers(lines[start + 1 : index])
            start = index + 1
    return None


# Receivers send the same head with every answer of a second.
known_head = lru_cache(maxsize=KNOWN_HEADS)(parse_head)


def _parse_headers(lines: Sequence[bytes]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.decode("latin-1").partition(":")
        name, value = name.strip().lower(), value.strip()
        if separator and name:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
