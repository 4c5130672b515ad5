"""Questions to the rollups: measures by dimensions and time, over a period, in a time zone."""

from __future__ import annotations

from analytics.answering import answer, answers
from analytics.errors import Unanswerable
from analytics.questions import Answer, Dimension, Granularity, Measure, Query, Row, Value

__all__ = [
    "Answer", "Dimension", "Granularity", "Measure", "Query", "Row", "Unanswerable", "Value",
    "answer", "answers",
]  # fmt: skip
