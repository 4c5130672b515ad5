"""Counts per period, what shall be attained, what shows them, and what sends them."""

from analytics.models.dashboards import Dashboard, Widget
from analytics.models.objectives import Objective
from analytics.models.reports import Report, ReportFile, ReportRun
from analytics.models.rollups import (
    SUCCEEDED,
    Detail,
    Horizon,
    ReceiptRollup,
    ReceiptType,
    Rollup,
    Scope,
)

__all__ = [
    "SUCCEEDED", "Dashboard", "Detail", "Horizon", "Objective", "ReceiptRollup", "ReceiptType",
    "Report", "ReportFile", "ReportRun", "Rollup", "Scope", "Widget",
]  # fmt: skip
