"""One step of a delivery's way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a delivery's way. `at` is None for what is so at present; `facts` are its parts,
    such as `number`, `cause`, `due_at`, `actor`, `replay`, `delivery`."""

    kind: str
    text: str
    at: datetime | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


def shown(values: Mapping[str, Any]) -> dict[str, Any]:
    """Facts as JSON has them."""
    shown_: dict[str, Any] = orjson.loads(
        orjson.dumps(dict(values), default=str, option=orjson.OPT_UTC_Z)
    )
    return shown_
