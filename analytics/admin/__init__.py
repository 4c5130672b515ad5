"""Figures in the console: rollups, objectives, dashboards, reports."""

from analytics.admin import dashboards, objectives, reports, rollups

__all__ = ["dashboards", "objectives", "reports", "rollups"]
