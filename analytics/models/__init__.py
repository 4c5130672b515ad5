"""Counts per period, what shows them, and what sends them."""

from analytics.models.dashboards import Dashboard, Widget
from analytics.models.reports import Report, ReportFile, ReportRun
from analytics.models.rollups import Rollup

__all__ = ["Dashboard", "Report", "ReportFile", "ReportRun", "Rollup", "Widget"]
