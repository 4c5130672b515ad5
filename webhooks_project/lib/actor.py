"""Who is acting, for the audit chain: set where a caller is known, read where it is written."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Actor:
    """`kind` is user, key, command or system; `id` is the user's or the key's; `address` the
    caller's IP address, empty where there is none."""

    kind: str
    id: str = ""
    label: str = ""
    address: str = ""


SYSTEM: Final = Actor("system", label="the hub")

current_actor: ContextVar[Actor] = ContextVar("current_actor", default=SYSTEM)
