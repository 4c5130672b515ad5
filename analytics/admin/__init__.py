"""Figures in the console: rollups, objectives."""

from analytics.admin import objectives, rollups

__all__ = ["objectives", "rollups"]
