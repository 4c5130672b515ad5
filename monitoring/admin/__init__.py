"""The console's pages of monitoring."""

from monitoring.admin import alert_rules, channels, health, incidents, journal, notifications

__all__ = ["alert_rules", "channels", "health", "incidents", "journal", "notifications"]
