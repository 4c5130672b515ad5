"""The names of the events that the hub itself publishes. Nobody else may publish them.

`*` does not hear them: who wants them names them, or writes `subscription.*`, `delivery.*` or
`incident.*`.
"""

from __future__ import annotations

from enum import StrEnum


class OperationalType(StrEnum):
    FAILING = "subscription.failing"
    DISABLED = "subscription.disabled"
    RECOVERED = "subscription.recovered"
    EXPIRING = "subscription.expiring"
    EXHAUSTED = "delivery.exhausted"
    # These by the channels of alerts alone.
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_RAISED = "incident.raised"
    INCIDENT_REMINDED = "incident.reminded"
    INCIDENT_ESCALATED = "incident.escalated"
    INCIDENT_ACKNOWLEDGED = "incident.acknowledged"
    INCIDENT_RESOLVED = "incident.resolved"
    INCIDENT_TEST = "incident.test"


def is_operational(event_type: str) -> bool:
    """Whether the hub itself publishes events of this type."""
    return event_type in OperationalType._value2member_map_
