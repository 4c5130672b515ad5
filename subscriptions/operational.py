"""The names of the events that the hub itself publishes. Nobody else may publish them.

`*` does not hear them: who wants them names them, or writes `subscription.*` or `delivery.*`.
"""

from __future__ import annotations

from enum import StrEnum


class OperationalType(StrEnum):
    FAILING = "subscription.failing"
    DISABLED = "subscription.disabled"
    RECOVERED = "subscription.recovered"
    EXPIRING = "subscription.expiring"
    EXHAUSTED = "delivery.exhausted"


def is_operational(event_type: str) -> bool:
    """Whether the hub itself publishes events of this type."""
    return event_type in OperationalType._value2member_map_
