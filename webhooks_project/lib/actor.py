"""Who is acting, for the audit chain: set where a caller is known, read where it is written."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

MAX_AGENT_LENGTH: Final = 200
MARK_LENGTH: Final = 16  # hex digits: enough to tell the sessions of a hub apart


@dataclass(frozen=True, slots=True)
class Actor:
    """`kind` is user, key, command or system; `id` is the user's or the key's; `address` the
    caller's IP address, `session` the mark of a person's session and `agent` what the caller calls
    its program; empty where there is none."""

    kind: str
    id: str = ""
    label: str = ""
    address: str = ""
    session: str = ""
    agent: str = ""


SYSTEM: Final = Actor("system", label="the hub")

current_actor: ContextVar[Actor] = ContextVar("current_actor", default=SYSTEM)


def session_mark(session: Any) -> str:
    """What tells a session from others without opening it; empty where there is none."""
    key = getattr(session, "session_key", None)
    return hashlib.sha256(key.encode()).hexdigest()[:MARK_LENGTH] if key else ""


def agent_of(headers: Mapping[str, str]) -> str:
    """The caller's User-Agent, as far as it is fit to be kept and shown."""
    text = headers.get("HTTP_USER_AGENT", "")
    return "".join(item for item in text if item.isprintable())[:MAX_AGENT_LENGTH]
