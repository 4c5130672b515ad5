"""Hiding secrets in what is shown and logged. What was received stays as it was."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

MASK: Final = "[redacted]"

_SECRET_NAME = re.compile(
    r"authorization|cookie|token|secret|password|signature|api[-_]?key|hmac|x-hook-secret", re.I
)


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the value of every one that may hold a secret or a proof masked."""
    return {name: MASK if is_secret(name) else value for name, value in headers.items()}


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Whether a header of that name may hold a secret or a proof."""
    return _SECRET_NAME.search(name) is not None


def last_four(secret: str) -> str:
    """`…abcd`: enough to tell two secrets apart, too little to use one."""
    return "…" + secret[-4:] if len(secret) >= 12 else "…"
