"""What is sent, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


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
    None where that phase was not reached. `body` is the first 16 KiB. Answers that are alike may
    share one mapping of headers.
    """

    status: int | None = None
    failure: Failure | None = None
    detail: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
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

    def shook_hands(self, *, is_secure: bool) -> bool:
        """Of an engine that only connects: whether the connection came about, with TLS where the
        URL asks for it."""
        reached = self.tls_ms if is_secure else self.connect_ms
        # The engine misses an answer's head, which nobody asked for.
        return reached is not None and self.failure is Failure.BAD_RESPONSE
