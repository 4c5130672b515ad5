"""The console's pages of monitoring."""

from monitoring.admin import journal, notifications

__all__ = ["journal", "notifications"]
