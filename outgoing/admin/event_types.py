"""How an event type is used, on its page."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from outgoing.usage import usage_of_type
from subscriptions.models import EventType
from webhooks_project.admin.panels import Panel, Table
from webhooks_project.admin.values import EMPTY, link, list_of, moment
from webhooks_project.lib import clock

PERIOD: Final = timedelta(days=7)


def usage_of_event_type(event_type: EventType) -> Panel:
    now = clock.now()
    usage = usage_of_type(event_type=event_type, since=now - PERIOD, until=now)
    rows = [
        [
            version.version or EMPTY,
            version.events,
            version.quarantined,
            version.mismatched,
            version.subscriptions,
            version.deliveries,
            version.delivered,
            version.failing,
            version.failed,
        ]
        for version in usage.versions
    ]
    headers = [
        "Version", "Events", "Quarantined", "Not fitting", "Subscriptions", "Deliveries",
        "Delivered", "Failing", "Failed",
    ]  # fmt: skip
    events = link(list_of("outgoing.event", q=event_type.name), "Its events")
    return Table(
        f"Usage since {moment(usage.since)}; {usage.subscriptions} subscriptions hear it now",
        headers,
        rows,
        empty="No event in this time.",
        more=events,
    )
