"""Figures in the console: rollups, dashboards, reports."""

from analytics.admin import dashboards, reports, rollups

__all__ = ["dashboards", "reports", "rollups"]
