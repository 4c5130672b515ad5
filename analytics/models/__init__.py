"""Counts per period, and what shall be attained."""

from analytics.models.objectives import Objective
from analytics.models.rollups import SUCCEEDED, Horizon, ReceiptRollup, Rollup, Scope

__all__ = ["SUCCEEDED", "Horizon", "Objective", "ReceiptRollup", "Rollup", "Scope"]
