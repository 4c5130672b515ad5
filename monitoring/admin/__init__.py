"""The console's pages of monitoring."""

from monitoring.admin import channels, journal, notifications

__all__ = ["channels", "journal", "notifications"]
