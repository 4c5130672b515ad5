"""Headers that a subscription adds to its requests: which may be, and how they are shown again.

A name is a token of RFC 9110; a value is visible ASCII, with spaces and tabs inside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from webhooks_project.lib.faults import Fault

MAX_HEADERS: Final = 20
MAX_NAME_LENGTH: Final = 128
MAX_VALUE_LENGTH: Final = 4096
MAX_BYTES: Final = 8192  # of all names and values: what common servers take of a whole head

# Ours, or what says where a message ends and what its bytes are.
RESERVED: Final = frozenset(
    {
        "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
        "date", "expect", "host", "http2-settings", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding",
        "upgrade", "user-agent",
    }
)  # fmt: skip
RESERVED_PREFIXES: Final = ("webhook-", "ce-")  # ours, and those of CloudEvents

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")


def check_name(name: Any) -> str:
    """The name, where a header of ours may have it. Raises Fault."""
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not _NAME.fullmatch(name):
        raise Fault("header_name_malformed", "A header name is letters, digits and hyphens.")
    lower = name.lower()
    if lower in RESERVED or lower.startswith(RESERVED_PREFIXES):
        raise Fault("header_reserved", f"The header {name} is the hub's own.")
    return name


def check_value(value: Any) -> str:
    """The value, where a header may have it. Raises Fault."""
    if not isinstance(value, str) or not _VALUE.fullmatch(value):
        raise Fault(
            "header_value_malformed",
            "A header value is visible ASCII with spaces inside at most, and not empty.",
        )
    if len(value) > MAX_VALUE_LENGTH:
        raise Fault(
            "header_value_too_long", f"A header value has at most {MAX_VALUE_LENGTH} characters."
        )
    return value


def check_headers(headers: Any) -> dict[str, str]:
    """The headers as they will be sent. Raises Fault."""
    if not isinstance(headers, Mapping):
        raise Fault("not_an_object", "Headers are an object: a value by each name.")
    if len(headers) > MAX_HEADERS:
        raise Fault("too_many_headers", f"There may be at most {MAX_HEADERS} headers.")
    names: set[str] = set()
    for name, value in headers.items():
        path = "/" + str(name).replace("~", "~0").replace("/", "~1")
        try:
            check_name(name)
            check_value(value)
        except Fault as fault:
            raise fault.below(path) from None
        if name.lower() in names:
            raise Fault("header_twice", f"The header {name} is there twice.", path=path)
        names.add(name.lower())
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_BYTES:
        raise Fault("headers_too_large", f"All headers together have at most {MAX_BYTES} bytes.")
    return dict(headers)
