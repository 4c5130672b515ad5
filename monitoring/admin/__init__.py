"""The console's pages of monitoring."""

from incoming.admin.sources import SourceAdmin
from monitoring.admin import (
    alert_rules,
    channels,
    findings,
    health,
    incidents,
    journal,
    notifications,
)
from monitoring.admin.findings import findings_of_source, findings_of_subscription
from subscriptions.admin import SubscriptionAdmin

SubscriptionAdmin.panels[:0] = [findings_of_subscription]
SourceAdmin.panels[:0] = [findings_of_source]

__all__ = [
    "alert_rules",
    "channels",
    "findings",
    "health",
    "incidents",
    "journal",
    "notifications",
]
