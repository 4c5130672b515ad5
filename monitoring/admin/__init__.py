"""The console's pages of monitoring."""

from monitoring.admin import alert_rules, health, incidents, journal, notifications

__all__ = ["alert_rules", "health", "incidents", "journal", "notifications"]
