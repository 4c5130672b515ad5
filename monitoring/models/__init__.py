"""What the hub knows of its own work: the journal, the health of endpoints, and who is told."""

from monitoring.models.findings import Finding
from monitoring.models.health import HealthCheck, HealthPolicy
from monitoring.models.incidents import AlertRule, Incident, IncidentEntry, Sighting
from monitoring.models.journal import Activity, AuditAnchor, AuditEntry
from monitoring.models.metrics import MetricsReading
from monitoring.models.notifications import Channel, Notification

__all__ = [
    "Activity",
    "AlertRule",
    "AuditAnchor",
    "AuditEntry",
    "Channel",
    "Finding",
    "HealthCheck",
    "HealthPolicy",
    "Incident",
    "IncidentEntry",
    "MetricsReading",
    "Notification",
    "Sighting",
]
