"""W3C Trace Context: which trace a request belongs to, handed on to what it causes."""

from __future__ import annotations

import re
import secrets
from typing import Final

MAX_TRACESTATE: Final = 512  # characters; 3.3.1.5 has us keep at least so many
MAX_MEMBERS: Final = 32

# 3.2.2: neither version ff nor an id of zeros; a version after ours may say more.
_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?",
    re.ASCII,
)
# 3.3.1.3: a key, with an @ where it is a tenant's, and a value.
_MEMBER: Final = re.compile(
    r"([a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    r"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]",
    re.ASCII,
)


def accept_trace(traceparent: str, tracestate: str = "") -> tuple[str, str]:
    """Both as they are kept, each empty where it is not valid; no state without a parent."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None:
        return "", ""
    version, trace, span, flags, more = match.groups()
    if version == "00" and more:
        return "", ""
    if version != "00":
        flags = f"{int(flags, 16) & 1:02x}"  # of a later version only that one is known
    return f"00-{trace}-{span}-{flags}", _state(tracestate)


def child_of(traceparent: str) -> str:
    """A `traceparent` of the same trace with a span of its own."""
    trace, flags = traceparent[:36], traceparent[52:]
    return f"{trace}{secrets.token_hex(8)}{flags}"


def _state(text: str) -> str:
    members = [part.strip(" \t") for part in text.split(",")]
    members = [part for part in members if part]
    matches = [_MEMBER.fullmatch(part) for part in members]
    names = {match[1] for match in matches if match}
    kept = ",".join(members)
    if len(names) < len(members) or len(members) > MAX_MEMBERS or len(kept) > MAX_TRACESTATE:
        return ""
    return kept
