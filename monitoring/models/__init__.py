"""What the hub knows of its own work: the journal, the health of endpoints, and who is told."""

from monitoring.models.health import HealthCheck
from monitoring.models.incidents import AlertRule, Incident, IncidentEntry
from monitoring.models.journal import Activity, AuditEntry
from monitoring.models.metrics import MetricsReading
from monitoring.models.notifications import Channel, Notification

__all__ = [
    "Activity",
    "AlertRule",
    "AuditEntry",
    "Channel",
    "HealthCheck",
    "Incident",
    "IncidentEntry",
    "MetricsReading",
    "Notification",
]
