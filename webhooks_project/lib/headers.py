"""Header names and values that may be sent on somebody's word (RFC 9110, 5.5 and 5.6.2)."""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}", re.ASCII)
FIELD_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20\t\x21-\x7e]*[\x21-\x7e])?", re.ASCII)
OUR_HEADERS: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
        "cookie", "date", "expect", "host", "http2-settings", "keep-alive", "proxy-authorization",
        "proxy-connection", "te", "traceparent", "tracestate", "trailer", "transfer-encoding",
        "upgrade", "via",
    }
)  # fmt: skip


def is_ours(header: str) -> bool:
    """Whether a request's header is the hub's own to set: framing, content, what signs it."""
    return header.lower() in OUR_HEADERS or header.lower().startswith(("webhook-", "ce-"))
